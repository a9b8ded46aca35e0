// Patterns for file names: * ? {a,b} {00000..00041}, in the last part of a path.
import { brief } from "../core/show.ts";

export const isGlob = (path: string): boolean => /[*?{]/.test(path);

/** Names that the braces of a pattern may stand for. */
const MOST = 100_000;

/** Tells whether a file name fits; "{00..03}" keeps the zeros. Throws a RangeError where braces stand for too much. */
export function globMatcher(pattern: string): (name: string) => boolean {
  const plain = expandBraces(pattern);
  const exact = new Set(plain.filter((one) => !/[*?]/.test(one)));
  const wild = plain.filter((one) => /[*?]/.test(one));
  return (name) => exact.has(name) || wild.some((one) => fits(one, name));
}

/** `*` and `?` alone. Goes back to the last `*` only, so that time grows with the product of the two lengths. */
function fits(pattern: string, name: string): boolean {
  let [p, n, star, from] = [0, 0, -1, 0];
  while (n < name.length) {
    if (pattern[p] === "*") [star, from] = [p++, n];
    else if (pattern[p] === "?" || pattern[p] === name[n]) [p, n] = [p + 1, n + 1];
    else if (star >= 0) [p, n] = [star + 1, ++from];
    else return false;
  }
  while (pattern[p] === "*") p++;
  return p === pattern.length;
}

function expandBraces(pattern: string): string[] {
  let done = [""];
  let rest = pattern;
  for (;;) {
    const found = rest.match(/^([^{]*)\{([^{}]*)\}/);
    if (!found) return done.map((one) => one + rest);
    const range = found[2].match(/^(\d+)\.\.(\d+)$/);
    const count = range ? Number(range[2]) - Number(range[1]) + 1 : found[2].split(",").length;
    if (range && count < 1)
      throw new RangeError(`The range {${brief(found[2], 60)}} runs backwards, expected the smaller number first.`);
    if (count * done.length > MOST)
      throw new RangeError(`"${brief(pattern)}" stands for more than ${MOST} names. Use * instead.`);
    const choices = range ? numbers(range[1], count) : found[2].split(",");
    done = done.flatMap((one) => choices.map((choice) => one + found[1] + choice));
    rest = rest.slice(found[0].length);
  }
}

const numbers = (from: string, count: number): string[] =>
  Array.from({ length: count }, (_, i) => String(Number(from) + i).padStart(from.length, "0"));
