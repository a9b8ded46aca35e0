// What --data opens: IDX files plain and packed, tars, WebDatasets, class folders.
import { gunzipSync, gzipSync } from "node:zlib";
import { encode } from "fast-png";
import { openClassFolders } from "../../src/data/classFolders.ts";
import type { Image } from "../../src/data/images.ts";
import { isIdxName, openIdx } from "../../src/data/mnist.ts";
import { openFiles } from "../../src/data/open.ts";
import { decodePng } from "../../src/data/pngDecode.ts";
import { memorySource } from "../../src/data/source.ts";
import { readTar } from "../../src/data/tar.ts";
import { openWebDataset } from "../../src/data/webDataset.ts";
import { globMatcher, isGlob } from "../../src/node/glob.ts";
import { pax, type RawEntry, rawTar, zeros } from "../../test/data/rawTar.ts";
import * as mutate from "../mutate.ts";
import type { Rng } from "../random.ts";
import { difference, type Input, ofText, one, otherValues, type Target, textOf, utf8 } from "../target.ts";

const pngs = Array.from({ length: 8 }, (_, k) =>
  encode({ width: 2, height: 2, channels: 1, depth: 8, data: new Uint8Array(4).fill(30 * k) }),
);

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
const random = (rng: Rng, n: number) => Uint8Array.from({ length: n }, () => rng.int(256));

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

function entries(rng: Rng, base: readonly RawEntry[]): (RawEntry | Uint8Array)[] {
  const out: (RawEntry | Uint8Array)[] = [];
  for (const entry of base) {
    if (rng.chance(0.04)) continue;
    if (rng.chance(0.06))
      out.push(
        pax(
          {
            [rng.pick(["path", "size", "linkpath", "mtime", "GNU.sparse.major", "comment"])]: rng.chance(0.5)
              ? entry.name
              : mutate.string(rng, "12"),
          },
          rng.pick(["x", "x", "g"]),
        ),
      );
    if (rng.chance(0.03))
      out.push({
        name: "././@LongLink",
        type: rng.pick(["L", "K"]),
        body: `${rng.chance(0.5) ? entry.name : mutate.string(rng, entry.name)}\0`,
      });
    const changed: RawEntry = {
      ...entry,
      ...(rng.chance(0.05) ? { name: mutate.string(rng, entry.name) } : {}),
      ...(rng.chance(0.05)
        ? { type: rng.pick(["0", "\0", "1", "2", "3", "5", "7", "D", "S", "V", "M", "Z", "x", "L"]), link: "a.png" }
        : {}),
      ...(rng.chance(0.04) ? { size: sizeField(rng, entry) } : {}),
    };
    out.push(changed);
    if (rng.chance(0.03)) out.push(changed);
    if (rng.chance(0.03)) out.push(zeros(1 + rng.int(3)));
  }
  if (rng.chance(0.9)) out.push(zeros(rng.pick([2, 2, 1, 20])));
  return out;
}

function sizeField(rng: Rng, { body = "" }: RawEntry): string | Uint8Array {
  const kind = rng.int(4);
  if (kind === 0)
    return Uint8Array.from({ length: 12 }, (_, i) => (i === 0 ? 128 : rng.chance(0.2) ? rng.int(256) : 0));
  if (kind === 1) return mutate.string(rng, "00000000012").slice(0, 12);
  const n = Math.abs(Math.trunc(mutate.number(rng, body.length) || 0));
  return `${Math.min(n, 8 ** 11 - 1)
    .toString(8)
    .padStart(11, "0")}\0`;
}

interface Member {
  readonly name: string;
  readonly body: Uint8Array;
  /** Of several that were joined. */
  readonly archive: number;
}

/** Plain files of a tar, from the whole of it; undefined where it holds what only a careful reader can say. */
function plainTar(bytes: Uint8Array): Member[] | undefined {
  const found: Member[] = [];
  const latin = (from: number, to: number) => Buffer.from(bytes.subarray(from, to)).toString("latin1");
  let given: { name?: string; size?: number } = {};
  let [archive, ended] = [0, false];
  for (let at = 0; at + 512 <= bytes.length; ) {
    if (bytes.subarray(at, at + 512).every((b) => b === 0)) {
      at += 512;
      ended = true;
      continue;
    }
    if (ended) archive++;
    ended = false;
    const octal = latin(at + 124, at + 136)
      .split("\0")[0]
      .trim();
    if (bytes[at + 124] & 128 || !/^[0-7]*$/.test(octal)) return undefined;
    const type = latin(at + 156, at + 157);
    const named = Buffer.from(bytes.subarray(at, at + 100))
      .toString("utf8")
      .split("\0")[0];
    const prefix =
      latin(at + 257, at + 263) === "ustar\0"
        ? Buffer.from(bytes.subarray(at + 345, at + 500))
            .toString("utf8")
            .split("\0")[0]
        : "";
    const special = /[xgLK]/.test(type);
    const size = (special ? undefined : given.size) ?? (Number.parseInt(octal, 8) || 0);
    const body = bytes.subarray(at + 512, at + 512 + size);
    at += 512 + Math.ceil(size / 512) * 512;
    if (type === "L") given = { ...given, name: new TextDecoder().decode(body).split("\0")[0] };
    else if (type === "x") {
      const records = Object.fromEntries(
        [...new TextDecoder().decode(body).matchAll(/\d+ ([^=]+)=([^\n]*)\n/g)].map(([, k, v]) => [k, v]),
      );
      given = {
        ...given,
        ...(records.path === undefined ? {} : { name: records.path }),
        ...(records.size === undefined ? {} : { size: Number(records.size) }),
      };
    } else if (!special) {
      if (type === "0" || type === "\0" || type === "7")
        found.push({ name: given.name ?? (prefix ? `${prefix}/${named}` : named), body, archive });
      given = {};
    }
  }
  return found;
}

async function* streamed(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 700) yield bytes.subarray(at, at + 700);
}

const tar = async (): Promise<Target> => ({
  make(rng) {
    const base = Array.from(
      { length: 1 + rng.int(5) },
      (_, i): RawEntry => ({ name: `dir/${i}.txt`, body: random(rng, rng.pick([0, 3, 511, 512, 513, 1025])) }),
    );
    const file = rawTar(entries(rng, base));
    return one(rng.chance(0.3) ? mutate.bytes(rng, file) : file);
  },
  async read({ file }) {
    const found: Member[] = [];
    for await (const { name, bytes } of readTar(streamed(file), "a.tar")) found.push({ name, body: bytes, archive: 0 });
    const expected = plainTar(file);
    if (expected === undefined) return undefined;
    if (found.length !== expected.length) return `${found.length} files, expected ${expected.length}`;
    for (const [i, { name, body }] of found.entries()) {
      if (name !== expected[i].name)
        return `the name ${JSON.stringify(name)}, expected ${JSON.stringify(expected[i].name)}`;
      const wrong = otherValues(body, expected[i].body, name);
      if (wrong) return wrong;
    }
    return undefined;
  },
});

const decode = (bytes: Uint8Array, name: string, most?: number): Promise<Image> => decodePng(bytes, name, most);

const webDataset = async (): Promise<Target> => ({
  make(rng) {
    const named = rng.chance(0.3);
    const label = (k: number) =>
      rng.chance(0.06) ? mutate.string(rng, String(mutate.number(rng, k))) : named ? `kind ${k}` : String(k);
    const base = Array.from({ length: 1 + rng.int(5) }, (_, i) => i).flatMap((i): RawEntry[] => {
      const k = rng.int(8);
      return [
        { name: `${i}.png`, body: pngs[k] },
        { name: `${i}.${rng.chance(0.9) ? "cls" : "txt"}`, body: label(k) },
        ...(rng.chance(0.1) ? [{ name: `${i}.json`, body: "{}" }] : []),
      ];
    });
    const file = rawTar(entries(rng, base));
    return one(rng.chance(0.1) ? mutate.bytes(rng, file) : file);
  },
  async read({ file }) {
    const source = { ...memorySource({ "train-0.tar": file }, "data"), stream: () => streamed(file) };
    const { size, labelNames, captions, classes, batch } = await openWebDataset(source, decode);
    const members = plainTar(file);
    if (!members) return undefined;
    const keyOf = (name: string) => name.slice(0, name.indexOf(".", name.lastIndexOf("/") + 1));
    const images = members.filter(
      ({ name }) => /\.png$/i.test(name) && !/(^|\/)\.(?!\/)/.test(name.replace(/^(\.\/)+/, "")),
    );
    if (images.length !== size) return `${size} samples, expected ${images.length}`;
    const all = batch(Array.from({ length: size }, (_, i) => i));
    const per = all.x.length / size;
    for (const [i, { name, body, archive }] of images.entries()) {
      const pixel = (await decodePng(body, "a.png")).data[0];
      if (Math.round((all.x[i * per] + 1) * 127.5) !== pixel) return `sample ${i} is another picture than ${name}`;
      const texts = members.filter(
        (m) => m.archive === archive && keyOf(m.name) === keyOf(name) && /\.(cls|txt)$/i.test(m.name),
      );
      const cls = texts.find((m) => /\.cls$/i.test(m.name)) ?? texts[0];
      if (!cls) continue;
      const said = new TextDecoder().decode(cls.body).trim();
      if (classes === 0 && captions?.[i] !== said && texts.length === 1)
        return `the text ${JSON.stringify(said)} of ${name} is lost`;
      const label = Number(all.labels[i]);
      const read = labelNames ? labelNames[label] : String(label);
      if (classes > 0 && read !== said && !(labelNames === undefined && /^\d+$/.test(said) && Number(said) === label))
        return `the label ${JSON.stringify(said)} of ${name} became ${read}`;
    }
    return undefined;
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

export const datasets = { idx: idxTarget, tar, webDataset, classFolders: folders, glob };
export { utf8 };
