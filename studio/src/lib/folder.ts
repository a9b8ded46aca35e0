// A folder as a page gets it: dropped in, chosen, or served by `fewstep studio <run>`.

/** Files by their path inside the folder, with "/" between. */
export interface Folder {
  readonly name: string;
  readonly files: ReadonlyMap<string, () => Promise<Uint8Array>>;
}

/** Files above this are not read: the page holds what it reads in memory. */
export const LARGEST = 1e9;

const ofFile = (file: File) => async (): Promise<Uint8Array> => {
  if (file.size > LARGEST)
    throw new Error(`${file.name} has ${(file.size / 1e9).toFixed(1)} GB, and a page holds at most 1 GB of a file.`);
  return new Uint8Array(await file.arrayBuffer());
};

/** What an <input webkitdirectory> gives: all paths begin with the folder's own name. */
export function fromInput(list: Iterable<File>): Folder {
  const files = new Map<string, () => Promise<Uint8Array>>();
  let name = "";
  for (const file of list) {
    const [first, ...rest] = (file.webkitRelativePath || file.name).split("/");
    if (rest.length > 0) name ||= first;
    files.set(rest.length > 0 ? rest.join("/") : first, ofFile(file));
  }
  return { name: name || "files", files };
}

/** What was dropped: folders are walked. */
export async function fromDrop(items: DataTransferItemList): Promise<Folder> {
  const entries = [...items].flatMap((item) => item.webkitGetAsEntry?.() ?? []);
  const files = new Map<string, () => Promise<Uint8Array>>();
  const single = entries.length === 1 && entries[0].isDirectory;
  const walk = async (entry: FileSystemEntry, path: string): Promise<void> => {
    if (entry.isFile) {
      const file = await new Promise<File>((give, fail) => (entry as FileSystemFileEntry).file(give, fail));
      files.set(path, ofFile(file));
      return;
    }
    const reader = (entry as FileSystemDirectoryEntry).createReader();
    // A reader gives a hundred at a time.
    for (;;) {
      const part = await new Promise<FileSystemEntry[]>((give, fail) => reader.readEntries(give, fail));
      if (part.length === 0) return;
      for (const inner of part) await walk(inner, path === "" ? inner.name : `${path}/${inner.name}`);
    }
  };
  for (const entry of entries) await walk(entry, single ? "" : entry.name);
  return { name: single ? entries[0].name : "files", files };
}

/** The folder that `fewstep studio <run>` serves; undefined where the page comes from elsewhere. */
export async function served(): Promise<Folder | undefined> {
  // The server marks its page: elsewhere nothing is asked for that is not there.
  if (!document.querySelector("[data-run]")) return undefined;
  const answer = await fetch(new URL("run/", document.baseURI)).catch(() => undefined);
  if (!answer?.ok || !answer.headers.get("content-type")?.startsWith("application/json")) return undefined;
  const { name, files } = (await answer.json()) as { name: string; files: readonly string[] };
  const read = (path: string) => async () => {
    const got = await fetch(new URL(`run/${path.split("/").map(encodeURIComponent).join("/")}`, document.baseURI));
    if (!got.ok) throw new Error(`${path} could not be read (${got.status}).`);
    return new Uint8Array(await got.arrayBuffer());
  };
  return { name, files: new Map(files.map((path) => [path, read(path)])) };
}

export async function textOf(folder: Folder, path: string): Promise<string> {
  const read = folder.files.get(path);
  if (!read) throw new Error(`${folder.name} has no file ${path}.`);
  return new TextDecoder().decode(await read());
}

export async function jsonOf(folder: Folder, path: string): Promise<unknown> {
  try {
    return JSON.parse(await textOf(folder, path));
  } catch (cause) {
    if (cause instanceof SyntaxError) throw new Error(`${folder.name}/${path} is no JSON.`, { cause });
    throw cause;
  }
}

const parent = (path: string) => path.split("/").slice(0, -1).join("/");
const joined = (folder: string, path: string) => (folder === "" ? path : `${folder}/${path}`);

export interface FoundModel {
  /** The run it is of, as a path inside the folder; "" is the folder itself. */
  readonly run: string;
  readonly card: string;
  readonly weights: string;
}

/** Models of fewstep inside: card.json with model.safetensors beside it. */
export function modelsIn({ files }: Folder): FoundModel[] {
  return [...files.keys()]
    .filter((path) => path === "card.json" || path.endsWith("/card.json"))
    .map((card) => {
      const at = parent(card);
      const run = at === "model" ? "" : at.endsWith("/model") ? at.slice(0, -"/model".length) : at;
      return { run, card, weights: joined(at, "model.safetensors") };
    })
    .filter(({ weights }) => files.has(weights))
    .sort((a, b) => (a.run < b.run ? -1 : 1));
}

/** Pictures that training left in a run, by the number of samples seen. */
export function previewsIn({ files }: Folder, run: string): { readonly images: number; readonly path: string }[] {
  const begin = joined(run, "samples/");
  return [...files.keys()]
    .flatMap((path) => {
      const number = path.startsWith(begin) ? path.slice(begin.length).match(/^(\d+)\.png$/)?.[1] : undefined;
      return number === undefined ? [] : [{ images: Number(number), path }];
    })
    .sort((a, b) => a.images - b.images);
}

export interface Logged {
  readonly images: number;
  readonly loss: number | null;
  readonly rate: number | null;
}

/** The steps of a log.jsonl; a last line that was cut off is left out. Throws an Error naming any other line that is no JSON. */
export function readLog(text: string): Logged[] {
  // What follows the last newline was not written to its end.
  const whole = text.split("\n").slice(0, -1);
  const out: Logged[] = [];
  for (const [i, line] of whole.entries()) {
    if (line.trim() === "") continue;
    let event: { kind?: unknown; images?: unknown; loss?: unknown; rate?: unknown };
    try {
      event = Object(JSON.parse(line));
    } catch (cause) {
      throw new Error(`log.jsonl has no JSON in line ${i + 1}: "${line.slice(0, 40)}".`, { cause });
    }
    const number = (value: unknown) => (typeof value === "number" && Number.isFinite(value) ? value : null);
    const images = number(event.images);
    if (event.kind === "step" && images !== null)
      out.push({ images, loss: number(event.loss), rate: number(event.rate) });
  }
  return out;
}
