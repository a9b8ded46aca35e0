// IDX, the file format of MNIST: a big-endian header and plain bytes. http://yann.lecun.com/exdb/mnist

import { brief } from "../core/show.ts";
import { gunzip, isGzip } from "./gzip.ts";

/** The first four bytes: two zeros, the type of the entries, the number of dimensions. */
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
  const layout = (start: Uint8Array) => layoutOf(start, name, isImages);
  const plain = await unpacked(bytes, name, 16, layout);
  const { sizes, body } = parse(plain, name, layout);
  const [count, height, width] = sizes;
  return { count, height, width, pixels: body };
}

/**
 * Parses `*-labels-idx1-ubyte[.gz]`, whole numbers of any width: one class per image. Of QMNIST's `idx2-int`, eight numbers
 * per image, the first is the class. Throws an Error for a negative one, and for all else as `readIdxImages` does.
 */
export async function readIdxLabels(bytes: Uint8Array, name: string): Promise<Int32Array> {
  const layout = (start: Uint8Array) => layoutOf(start, name, isLabels);
  const plain = await unpacked(bytes, name, 12, layout);
  const { sizes, body, type } = parse(plain, name, layout);
  const [count, columns = 1] = sizes;
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const entry = (i: number) => type.read(view, i * type.bytes);
  const isOneHot = (row: number) => {
    const values = Array.from({ length: columns }, (_, c) => entry(row * columns + c));
    return values.every((v) => v === 0 || v === 1) && values.filter((v) => v === 1).length === 1;
  };
  if (columns > 1 && Array.from({ length: count }, (_, row) => row).every(isOneHot)) {
    throw new Error(`${brief(name)} has one number per class (one-hot), expected the class itself.`);
  }
  return Int32Array.from({ length: count }, (_, i) => {
    const label = entry(i * columns);
    if (label < 0) throw new Error(`${brief(name)} has the label ${label} (sample ${i}), expected 0 or more.`);
    return label;
  });
}

interface EntryType {
  readonly name: string;
  readonly bytes: number;
  read(view: DataView, at: number): number;
}
const types: Readonly<Record<number, EntryType>> = {
  8: { name: "unsigned bytes", bytes: 1, read: (view, at) => view.getUint8(at) },
  9: { name: "signed bytes", bytes: 1, read: (view, at) => view.getInt8(at) },
  11: { name: "16-bit integers", bytes: 2, read: (view, at) => view.getInt16(at) },
  12: { name: "32-bit integers", bytes: 4, read: (view, at) => view.getInt32(at) },
  13: { name: "32-bit floats", bytes: 4, read: (view, at) => view.getFloat32(at) },
  14: { name: "64-bit floats", bytes: 8, read: (view, at) => view.getFloat64(at) },
};

interface Kind {
  readonly expected: string;
  readonly least: number;
  fits(magic: number): boolean;
}
const isImages: Kind = {
  expected: `${IMAGES} (IDX images of unsigned bytes)`,
  least: 16,
  fits: (magic) => magic === IMAGES,
};
const isLabels: Kind = {
  expected: `${LABELS} (IDX labels of unsigned bytes) or one of wider integers`,
  least: 8,
  fits: (magic) => magic >>> 8 >= 8 && magic >>> 8 <= 12 && ((magic & 255) === 1 || (magic & 255) === 2),
};

interface Layout {
  readonly type: EntryType;
  readonly header: number;
  readonly sizes: readonly number[];
  /** Of entries. */
  readonly count: number;
}

/** Throws an Error where the first bytes of a file are of another kind, or say that there is nothing in it. */
function layoutOf(start: Uint8Array, name: string, { expected, least, fits }: Kind): Layout {
  const file = brief(name);
  if (start.length < least) {
    throw new Error(`${file} is cut off: ${start.length} bytes, expected a header of ${least}.`);
  }
  const view = new DataView(start.buffer, start.byteOffset, start.byteLength);
  const magic = view.getUint32(0);
  const dims = magic & 255;
  const type = types[magic >>> 8];
  if (!type || !fits(magic)) {
    const swapped = (magic & 0xffff) === 0 && types[(magic >>> 16) & 255];
    const found = type
      ? `, of ${dims}-dimensional ${type.name}`
      : swapped
        ? ", in little-endian order"
        : isGzip(start)
          ? ", of gzip (whose name ends in .gz)"
          : "";
    throw new Error(`${file} has the magic number ${magic}, expected ${expected}${found}.`);
  }
  const header = 4 + 4 * dims;
  if (start.length < header) {
    throw new Error(`${file} is cut off: ${start.length} bytes, expected a header of ${header}.`);
  }
  const sizes = Array.from({ length: dims }, (_, i) => view.getUint32(4 + 4 * i));
  const count = sizes.reduce((product, n) => product * n, 1);
  if (count === 0) throw new Error(`${file} is empty: its header says ${sizes.join(" x ")}.`);
  if (dims === 2 && sizes[1] !== 1 && !(sizes[1] === 8 && type.bytes === 4)) {
    throw new Error(
      `${file} has ${sizes[1]} ${type.name} per label, expected 1, or 8 integers of 32 bits as QMNIST has.`,
    );
  }
  return { type, header, sizes, count };
}

type LayoutOf = (start: Uint8Array) => Layout;

const unpacked = async (bytes: Uint8Array, name: string, length: number, layout: LayoutOf) =>
  name.endsWith(".gz")
    ? gunzip(bytes, name, {
        length,
        size(start) {
          const { header, count, type } = layout(start);
          return header + count * type.bytes;
        },
      })
    : bytes;

function parse(bytes: Uint8Array, name: string, layout: LayoutOf) {
  const { type, header, sizes, count } = layout(bytes);
  const body = bytes.subarray(header);
  const expected = count * type.bytes;
  if (body.length !== expected) {
    const how = body.length < expected ? "is cut off" : "has bytes left over";
    const product = type.bytes === 1 ? sizes : [...sizes, type.bytes];
    throw new Error(
      `${brief(name)} ${how}: ${body.length} bytes follow the header, expected ${product.join(" x ")} = ${expected}.`,
    );
  }
  return { sizes, body, type };
}

export function writeIdxImages({ count, height, width, pixels }: IdxImages): Uint8Array {
  return write(IMAGES, [count, height, width], pixels);
}

export function writeIdxLabels(labels: Uint8Array): Uint8Array {
  return write(LABELS, [labels.length], labels);
}

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
