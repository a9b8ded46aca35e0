// Tar archives byte by byte, for what writers of archives do not make.
export interface RawEntry {
  readonly name: string;
  readonly body?: Uint8Array | string;
  /** The type's letter; "0" is a plain file. */
  readonly type?: string;
  readonly link?: string;
  /** What the header says, if not the length of the body. */
  readonly size?: string | Uint8Array;
}

const text = new TextEncoder();
export const zeros = (blocks: number): Uint8Array => new Uint8Array(512 * blocks);

export function rawTar(entries: readonly (RawEntry | Uint8Array)[]): Uint8Array {
  const parts = entries.flatMap((entry) => (entry instanceof Uint8Array ? [entry] : member(entry)));
  return new Uint8Array(Buffer.concat(parts));
}

function member({ name, body = "", type = "0", link = "", size }: RawEntry): Uint8Array[] {
  const bytes = typeof body === "string" ? text.encode(body) : body;
  const header = new Uint8Array(512);
  const put = (value: string | Uint8Array, at: number) =>
    header.set(typeof value === "string" ? text.encode(value) : value, at);
  put(name.slice(0, 100), 0);
  put("0000644\0", 100);
  put(size ?? `${bytes.length.toString(8).padStart(11, "0")}\0`, 124);
  put(type, 156);
  put(link, 157);
  put("ustar\x0000", 257);
  put("        ", 148);
  put(
    `${header
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, "0")}\0 `,
    148,
  );
  const padded = new Uint8Array(Math.ceil(bytes.length / 512) * 512);
  padded.set(bytes);
  return [header, padded];
}

/** A pax header with these records. */
export function pax(records: Readonly<Record<string, string>>, type: "x" | "g" = "x"): RawEntry {
  const body = Object.entries(records).map(([key, value]) => {
    const rest = ` ${key}=${value}\n`;
    let length = text.encode(rest).length;
    while (String(length).length + text.encode(rest).length !== length) length++;
    return `${length}${rest}`;
  });
  return { name: "PaxHeader", type, body: body.join("") };
}
