// What --data opens: IDX files plain and packed, class folders, patterns of names.
import { gunzipSync, gzipSync } from "node:zlib";
import { encode } from "fast-png";
import { openClassFolders } from "../../src/data/classFolders.ts";
import type { Image } from "../../src/data/images.ts";
import { isIdxName, openIdx } from "../../src/data/mnist.ts";
import { openFiles } from "../../src/data/open.ts";
import { decodePng } from "../../src/data/pngDecode.ts";
import { memorySource } from "../../src/data/source.ts";
import { globMatcher, isGlob } from "../../src/node/glob.ts";
import * as mutate from "../mutate.ts";
import type { Rng } from "../random.ts";
import { difference, type Input, ofText, otherValues, type Target, textOf } from "../target.ts";

export const pngs = Array.from({ length: 8 }, (_, k) =>
  encode({ width: 2, height: 2, channels: 1, depth: 8, data: new Uint8Array(4).fill(30 * k) }),
);

export const decode = (bytes: Uint8Array, name: string, most?: number): Promise<Image> => decodePng(bytes, name, most);

/** IDX bytes: type code, sizes, body. */
function idx(rng: Rng, type: number, sizes: readonly number[], body: Uint8Array): Uint8Array {
  const head = new DataView(new ArrayBuffer(4 + 4 * sizes.length));
  const off = () => rng.chance(0.04);
  head.setUint32(
    0,
    off() ? Math.trunc(mutate.number(rng, type * 256 + sizes.length) || 0) : type * 256 + sizes.length,
    off(),
  );
  sizes.forEach((n, i) => {
    head.setUint32(4 + 4 * i, off() ? Math.trunc(mutate.number(rng, n) || 0) : n, false);
  });
  const file = new Uint8Array(Buffer.concat([new Uint8Array(head.buffer), body]));
  return rng.chance(0.1) ? mutate.bytes(rng, file) : file;
}

const widths: Readonly<Record<number, number>> = { 8: 1, 9: 1, 11: 2, 12: 4, 13: 4, 14: 8 };
export const random = (rng: Rng, n: number) => Uint8Array.from({ length: n }, () => rng.int(256));

function idxFolder(rng: Rng): Input {
  const [n, h, w] = [1 + rng.int(6), 1 + rng.int(5), 1 + rng.int(5)];
  const type = rng.chance(0.7) ? 8 : Number(rng.pick(Object.keys(widths)));
  const columns = rng.chance(0.8) ? 1 : rng.pick([8, 2, 10, 1]);
  const labels = random(rng, n * columns * widths[type]).map((v, i) =>
    i % widths[type] === widths[type] - 1 ? v % 12 : rng.chance(0.95) ? 0 : v,
  );
  const name = (what: string, dims: number) => {
    const text = `train${rng.pick(["-", ".", "_"])}${what}${rng.pick(["-", "."])}idx${dims}-ubyte`;
    return rng.chance(0.03) ? mutate.text(rng, text) : text;
  };
  const packed = (file: Uint8Array) => {
    const gz = gzipSync(file, { level: 1 });
    return rng.chance(0.3) ? mutate.bytes(rng, gz) : new Uint8Array(gz);
  };
  const files: Record<string, Uint8Array> = {};
  const put = (base: string, bytes: Uint8Array) => {
    if (rng.chance(0.3)) files[`${base}.gz`] = packed(bytes);
    else files[base] = bytes;
  };
  put(name("images", 3), idx(rng, 8, [n, h, w], random(rng, n * h * w)));
  if (rng.chance(0.95))
    put(name("labels", columns > 1 ? 2 : 1), idx(rng, type, columns > 1 ? [n, columns] : [n], labels));
  return files;
}

/** Sizes, type and body by the format's own words, from plain bytes. */
function plainIdx(name: string, file: Uint8Array) {
  const bytes = name.endsWith(".gz") ? new Uint8Array(gunzipSync(file)) : file;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const sizes = Array.from({ length: bytes[3] }, (_, i) => view.getUint32(4 + 4 * i));
  const body = new DataView(view.buffer, view.byteOffset + 4 + 4 * sizes.length);
  const get = { 8: "getUint8", 9: "getInt8", 11: "getInt16", 12: "getInt32", 13: "getFloat32", 14: "getFloat64" }[
    bytes[2]
  ];
  const read = (i: number) => (body[get as "getInt16"] as (at: number) => number).call(body, i * widths[bytes[2]]);
  return { sizes, read, bytes };
}

const idxTarget = async (): Promise<Target> => ({
  make: idxFolder,
  async read(files) {
    const { size, shape, classes, batch } = await openIdx(memorySource(files, "data"));
    const names = Object.keys(files).filter(isIdxName);
    const images = names.find((name) => /images/i.test(name))!;
    const labels = names.find((name) => /labels/i.test(name));
    const { sizes, read } = plainIdx(images, files[images]);
    const wrong = difference([size, ...shape], [sizes[0], 1, sizes[1], sizes[2]], "size");
    if (wrong) return wrong;
    const all = batch(Array.from({ length: size }, (_, i) => i));
    const pixels = Array.from({ length: sizes[0] * sizes[1] * sizes[2] }, (_, i) => read(i));
    const seen = otherValues(
      Array.from(all.x, (v) => Math.round((v + 1) * 127.5)),
      pixels,
      "pixels",
    );
    if (seen || labels === undefined) return seen ?? (classes > 0 ? "classes without labels" : undefined);
    const found = plainIdx(labels, files[labels]);
    const per = found.sizes[1] ?? 1;
    return otherValues(
      Array.from(all.labels, Number),
      Array.from({ length: found.sizes[0] }, (_, i) => found.read(i * per)),
      "labels",
    );
  },
});

/** Names of files, of which each holds one of eight pictures; "" is a folder that holds nothing. */
const folders = async (): Promise<Target> => ({
  make(rng) {
    const classes = Array.from({ length: 1 + rng.int(4) }, (_, k) =>
      rng.chance(0.7)
        ? rng.pick(["cat", "dog", "fox"]) + k
        : rng.pick(["train", "test", "val", "1", "10", "02", "extra", "."]),
    );
    const files: Record<string, Uint8Array> = {};
    for (let k = 1 + rng.int(8); k > 0; k--) {
      const parts = [rng.pick(classes), ...(rng.chance(0.2) ? [rng.pick(classes)] : [])];
      const base = `${k}.${rng.pick(["png", "png", "png", "png", "PNG", "jpg", "bmp", "txt", "cls"])}`;
      const name = `${parts.join("/")}/${rng.chance(0.05) ? mutate.string(rng, base) : base}`;
      files[rng.chance(0.05) ? base : rng.chance(0.05) ? mutate.text(rng, name) : name] = pngs[k % 8];
    }
    return files;
  },
  async read(files) {
    const source = memorySource(files, "data");
    const open = Object.keys(files).length % 2 === 0 ? openClassFolders : openFiles;
    const { size, labelNames, classes, batch } = await open(source, decode);
    const all = batch(Array.from({ length: size }, (_, i) => i));
    const per = all.x.length / size;
    const read = Array.from({ length: size }, (_, i) => [
      labelNames?.[Number(all.labels[i])] ?? "",
      Math.round((all.x[i * per] + 1) * 127.5),
    ]);
    const names = Object.keys(files)
      .filter((name) => /\.(png|jpe?g|jpe|jfif|webp)$/i.test(name) && !/(^|\/)(\.(?!\/)|__MACOSX\/)/.test(name))
      .sort();
    const part = new Set(names.map((name) => name.split("/")[0]));
    const isPart = [...part].some((name) => /^(train|test|val)$/.test(name)) && size < names.length;
    const inside = isPart ? names.filter((name) => name.startsWith("train/")).map((name) => name.slice(6)) : names;
    if (size !== inside.length && !isPart) return `${size} pictures, expected ${inside.length}`;
    if (isPart) return undefined;
    const first = inside.map((name, i) => [
      name.includes("/") && classes > 0 ? name.slice(0, name.indexOf("/")) : "",
      30 * pngs.indexOf(files[names[i]]),
    ]);
    const whole = names.every((name) => /^train\//.test(name)) ? undefined : difference(read, first, "samples");
    return whole;
  },
});

const glob = async (): Promise<Target> => ({
  make: (rng) =>
    ofText(`${mutate.text(rng, "train-{000..007,x*}-[a-z]?.tar")}\n${mutate.text(rng, "train-003-b1.tar")}`),
  read(input) {
    const [pattern, name = ""] = textOf(input).split("\n");
    isGlob(pattern);
    globMatcher(pattern)(name);
    globMatcher(pattern)("a".repeat(200));
    return undefined;
  },
});

export const datasets = { idx: idxTarget, classFolders: folders, glob };
