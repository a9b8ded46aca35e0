// Mutations that keep most of the structure: of bytes, of JSON values, of texts.
import type { Rng } from "./random.ts";

/** Numbers at which sizes, counts and offsets go wrong. */
export const edges: readonly number[] = [
  ...[0, -1, 1, 2, 3, 4, 7, 8, 9, 16, 100, 127, 128, 255, 256, 257, 1000, 1001, 4096, 32767, 32768, 65535, 65536],
  ...[1e5, 1e6, 2 ** 24, 2 ** 28, 2 ** 30, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 1e10, 2 ** 40, 2 ** 53 - 1],
  ...[2 ** 53, 2 ** 63, 1e30, 1e308, 5e-324, 1e-30, 0.5, -0.5, 1.5, -2, -(2 ** 31), -1e308],
];
const special = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0];

export const number = (rng: Rng, near = 1): number => {
  const kind = rng.int(6);
  if (kind === 0) return rng.pick(special);
  if (kind === 1) return near + rng.pick([1, -1, 0.5, -near, near]);
  if (kind === 2) return near * rng.pick([10, 1000, -1, 0.1, 2]);
  if (kind === 3) return rng.int(64);
  return rng.pick(edges);
};

const odd = ["", " ", "\0", "\n", "a\u202eb", "\ud800", "é", "__proto__", "constructor", "toString", "0", "-1", "NaN"];
const words = ["null", "true", "../../etc/passwd", "C:\\x", "%s", "1e999"];

export function string(rng: Rng, near = "x"): string {
  switch (rng.int(7)) {
    case 0:
      return rng.pick(odd);
    case 1:
      return rng.pick(words);
    case 2:
      return (near || "x").repeat(1 + rng.int(rng.chance(0.05) ? 20000 : 20));
    case 3:
      return near.slice(0, rng.int(near.length + 1));
    case 4:
      return near + rng.pick(odd);
    case 5:
      return near.toUpperCase();
    default:
      return text(rng, near);
  }
}

/** A text with characters taken out, doubled, changed, moved. */
export function text(rng: Rng, from: string): string {
  let out = from;
  for (let k = 1 + rng.int(3); k > 0; k--) {
    const [a, b] = [rng.int(out.length + 1), rng.int(out.length + 1)].sort((x, y) => x - y);
    switch (rng.int(6)) {
      case 0:
        out = out.slice(0, a) + out.slice(b);
        break;
      case 1:
        out = out.slice(0, b) + out.slice(a);
        break;
      case 2:
        out = out.slice(0, a) + rng.pick(odd) + out.slice(a);
        break;
      case 3:
        out =
          out.slice(0, a) + String.fromCharCode(rng.chance(0.8) ? 32 + rng.int(96) : rng.int(65536)) + out.slice(a + 1);
        break;
      case 4:
        out = out.slice(0, a) + String(number(rng, 10)) + out.slice(a);
        break;
      default:
        out = out.slice(0, a);
    }
    if (out.length > 100_000) out = out.slice(0, 100_000);
  }
  return out;
}

/** Bytes changed in one to four places. `other`: what parts are taken from. */
export function bytes(rng: Rng, from: Uint8Array, other: Uint8Array = from): Uint8Array {
  let out = Uint8Array.from(from);
  for (let k = 1 + rng.int(rng.chance(0.3) ? 4 : 1); k > 0; k--) out = changed(rng, out, other);
  return out;
}

function changed(rng: Rng, out: Uint8Array<ArrayBuffer>, other: Uint8Array): Uint8Array<ArrayBuffer> {
  const at = rng.int(out.length + 1);
  const join = (...parts: Uint8Array[]) => new Uint8Array(Buffer.concat(parts));
  const view = new DataView(out.buffer, out.byteOffset, out.length);
  const value = Math.abs(Math.trunc(Number.isFinite(number(rng)) ? number(rng, 100) : 0)) || rng.int(300);
  switch (rng.int(9)) {
    case 0:
      if (at < out.length) out[at] ^= 1 << rng.int(8);
      return out;
    case 1:
      if (at < out.length) out[at] = rng.pick([0, 1, 127, 128, 255, rng.int(256)]);
      return out;
    case 2:
      if (at + 2 <= out.length) view.setUint16(at, value % 65536, rng.chance(0.5));
      return out;
    case 3:
      if (at + 4 <= out.length) view.setUint32(at, value % 2 ** 32, rng.chance(0.5));
      return out;
    case 4:
      return out.slice(0, at);
    case 5: {
      const length = rng.int(Math.min(600, out.length - at) + 1);
      return join(out.subarray(0, at), out.subarray(at + length));
    }
    case 6: {
      const length = rng.int(Math.min(1100, out.length - at) + 1);
      return join(out.subarray(0, at + length), out.subarray(at));
    }
    case 7: {
      const start = rng.int(other.length + 1);
      const piece = other.subarray(start, start + rng.int(600));
      return rng.chance(0.5)
        ? join(out.subarray(0, at), piece, out.subarray(at + piece.length))
        : join(out.subarray(0, at), piece, out.subarray(at));
    }
    default:
      return join(
        out.subarray(0, at),
        new Uint8Array(rng.pick([1, 8, 64, 512, 1024])).fill(rng.pick([0, 0, 255])),
        out.subarray(at),
      );
  }
}

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
interface Place {
  readonly holder: Json[] | { [key: string]: Json };
  readonly key: string | number;
}

/** A JSON value changed in one to three places. */
export function json(rng: Rng, from: Json, other: Json = from): Json {
  const root = { root: structuredClone(from) };
  for (let k = 1 + rng.int(rng.chance(0.3) ? 3 : 1); k > 0; k--) {
    const places: Place[] = [];
    collect(root, places);
    change(rng, rng.pick(places), places, other);
  }
  return root.root;
}

function collect(value: Json, places: Place[]): void {
  if (typeof value !== "object" || value === null || places.length > 2000) return;
  for (const key of Object.keys(value)) {
    const at = Array.isArray(value) ? Number(key) : key;
    places.push({ holder: value, key: at });
    collect((value as { [key: string]: Json })[key], places);
  }
}

const put = ({ holder, key }: Place, value: Json) => {
  Object.defineProperty(holder, key, { value, enumerable: true, configurable: true, writable: true });
};
const at = ({ holder, key }: Place): Json => (holder as { [key: string]: Json })[key];

function change(rng: Rng, place: Place, places: readonly Place[], other: Json): unknown {
  const value = at(place);
  const { holder, key } = place;
  switch (rng.int(13)) {
    case 0:
    case 1:
    case 2:
      return put(
        place,
        typeof value === "string" ? string(rng, value) : number(rng, typeof value === "number" ? value : 1),
      );
    case 3:
      return put(place, rng.pick<Json>([null, true, false, "", 0, [], {}, "1", -1]));
    case 4:
      if (Array.isArray(holder)) holder.splice(Number(key), 1);
      else if (key !== "root") delete holder[String(key)];
      return;
    case 5:
      if (Array.isArray(holder)) holder.splice(Number(key), 0, structuredClone(value));
      else if (key !== "root") put({ holder, key: string(rng, String(key)) }, structuredClone(value));
      return;
    case 6:
      if (!Array.isArray(holder) && key !== "root") {
        delete holder[String(key)];
        put({ holder, key: string(rng, String(key)) }, value);
      }
      return;
    case 7: {
      let deep = value;
      for (let k = rng.pick([1, 2, 5, 20, 90, 120]); k > 0; k--)
        deep = rng.chance(0.5) ? [deep] : { [String(key)]: deep };
      return put(place, deep);
    }
    case 8:
      return put(
        place,
        new Array<Json>(rng.pick([0, 1, 2, 17, 300, 1001, rng.chance(0.02) ? 100_001 : 5])).fill(value),
      );
    case 9: {
      const second = rng.pick(places);
      const kept = structuredClone(at(second) ?? null);
      put(second, structuredClone(value));
      return put(place, kept);
    }
    case 10: {
      const found: Place[] = [];
      collect({ other }, found);
      return put(place, structuredClone(at(rng.pick(found))));
    }
    case 11:
      return put(place, string(rng, typeof value === "string" ? value : String(key)));
    default:
      if (typeof value === "object" && value !== null && !Array.isArray(value))
        return put(
          { holder: value, key: rng.pick(["__proto__", "constructor", "extra", "length", "_x", "0"]) },
          number(rng),
        );
      return put(place, typeof value === "boolean" ? !value : number(rng, Number(value) || 1));
  }
}

/** JSON as Python writes it, with its words for what is no finite number. */
export function jsonText(value: Json): string {
  if (typeof value === "number")
    return Number.isNaN(value)
      ? "NaN"
      : Number.isFinite(value)
        ? JSON.stringify(value)
        : value > 0
          ? "Infinity"
          : "-Infinity";
  if (Array.isArray(value)) return `[${value.map(jsonText).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  return `{${Object.entries(value)
    .map(([key, inner]) => `${JSON.stringify(key)}:${jsonText(inner)}`)
    .join(",")}}`;
}
