// IDX, the file format of MNIST: a big-endian header and plain bytes. http://yann.lecun.com/exdb/mnist
import { gunzip } from "./gzip.ts";

const IMAGES = 0x0803; // unsigned bytes, three dimensions
const LABELS = 0x0801; // unsigned bytes, one dimension

export interface IdxImages {
  readonly count: number;
  readonly height: number;
  readonly width: number;
  /** [count, height, width], 0..255. */
  readonly pixels: Uint8Array;
}

/** Parses `*-images-idx3-ubyte[.gz]`. Throws an Error that names the file, the value and what was expected. */
export async function readIdxImages(bytes: Uint8Array, name: string): Promise<IdxImages> {
  const { sizes, body } = parse(await plain(bytes, name), name, IMAGES, 3);
  const [count, height, width] = sizes;
  return { count, height, width, pixels: body };
}

/** Parses `*-labels-idx1-ubyte[.gz]`: one class per image, 0..255. */
export async function readIdxLabels(bytes: Uint8Array, name: string): Promise<Uint8Array> {
  return parse(await plain(bytes, name), name, LABELS, 1).body;
}

export function writeIdxImages({ count, height, width, pixels }: IdxImages): Uint8Array {
  return write(IMAGES, [count, height, width], pixels);
}

export function writeIdxLabels(labels: Uint8Array): Uint8Array {
  return write(LABELS, [labels.length], labels);
}

const plain = async (bytes: Uint8Array, name: string) => (name.endsWith(".gz") ? gunzip(bytes, name) : bytes);

function parse(bytes: Uint8Array, name: string, magic: number, dims: number) {
  const header = 4 + 4 * dims;
  if (bytes.length < header) {
    throw new Error(`${name} is cut off: ${bytes.length} bytes, expected a header of ${header}.`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found = view.getUint32(0);
  if (found !== magic) {
    throw new Error(`${name} has the magic number ${found}, expected ${magic} (${describe(magic)}).`);
  }
  const sizes = Array.from({ length: dims }, (_, i) => view.getUint32(4 + 4 * i));
  const expected = sizes.reduce((product, n) => product * n, 1);
  const body = bytes.subarray(header);
  if (body.length !== expected) {
    const how = body.length < expected ? "is cut off" : "has bytes left over";
    throw new Error(
      `${name} ${how}: ${body.length} bytes follow the header, expected ${sizes.join(" x ")} = ${expected}.`,
    );
  }
  if (expected === 0) throw new Error(`${name} is empty: its header says ${sizes.join(" x ")}.`);
  return { sizes, body };
}

const describe = (magic: number) =>
  magic === IMAGES ? "IDX images of unsigned bytes" : "IDX labels of unsigned bytes";

function write(magic: number, sizes: readonly number[], body: Uint8Array): Uint8Array {
  const expected = sizes.reduce((product, n) => product * n, 1);
  if (body.length !== expected) {
    throw new RangeError(`IDX body has ${body.length} bytes, expected ${sizes.join(" x ")} = ${expected}.`);
  }
  const bytes = new Uint8Array(4 + 4 * sizes.length + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, magic);
  for (const [i, n] of sizes.entries()) view.setUint32(4 + 4 * i, n);
  bytes.set(body, 4 + 4 * sizes.length);
  return bytes;
}
