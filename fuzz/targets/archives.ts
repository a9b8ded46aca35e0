import { decodePng } from "../../src/data/pngDecode.ts";
import { memorySource } from "../../src/data/source.ts";
import { readTar } from "../../src/data/tar.ts";
import { openWebDataset } from "../../src/data/webDataset.ts";
import { pax, type RawEntry, rawTar, zeros } from "../../test/data/rawTar.ts";
import * as mutate from "../mutate.ts";
import type { Rng } from "../random.ts";
import { one, otherValues, type Target } from "../target.ts";
import { decode, pngs, random } from "./datasets.ts";

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

export const archives = { tar, webDataset };
