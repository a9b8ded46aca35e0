// What is tried: how an input of a parser is made, and how it is read.
import type { Rng } from "./random.ts";

/** The files of one input by name; one that is a single file is called "file". */
export type Input = Readonly<Record<string, Uint8Array>>;

export interface Target {
  /** Most characters of a message, where it lists all that is wrong. Default 500. */
  readonly longest?: number;
  /** An input that is nearly right. */
  make(rng: Rng): Input | Promise<Input>;
  /**
   * Reads it as the product does and throws what that throws. The result: in what an input that was accepted is not what an
   * independent reader says it is, or undefined where all is well.
   */
  read(input: Input): string | undefined | Promise<string | undefined>;
}

export const one = (file: Uint8Array): Input => ({ file });
const encoder = new TextEncoder();
export const utf8 = (text: string): Uint8Array => encoder.encode(text);
export const ofText = (text: string): Input => one(utf8(text));
export const textOf = ({ file }: Input): string => new TextDecoder().decode(file);

/** Where two values first differ, as JSON with all numbers; undefined where they do not. */
export function difference(a: unknown, b: unknown, path = "it"): string | undefined {
  if (Object.is(a, b) || (typeof a === "number" && typeof b === "number" && a === b)) return undefined;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null)
    return `${path} is ${shown(a)}, expected ${shown(b)}`;
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  for (const key of keys) {
    const found = difference(
      (a as Record<string, unknown>)[key],
      (b as Record<string, unknown>)[key],
      `${path}.${key}`,
    );
    if (found) return found.slice(0, 300);
  }
  return undefined;
}
const shown = (value: unknown) =>
  typeof value === "object" ? JSON.stringify(value)?.slice(0, 80) : String(value).slice(0, 80);

/** Where two arrays of numbers first differ, bit for bit but for NaN. */
export function otherValues(
  a: ArrayLike<number | bigint>,
  b: ArrayLike<number | bigint>,
  what: string,
): string | undefined {
  if (a.length !== b.length) return `${what} has ${a.length} values, expected ${b.length}`;
  for (let i = 0; i < a.length; i++) if (!Object.is(a[i], b[i])) return `${what} has ${a[i]} at ${i}, expected ${b[i]}`;
  return undefined;
}
