// Golden files by the kind that they state, whatever they are called and wherever in a golden folder they lie.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { readSafetensors, type StoredTensor } from "../../src/data/safetensors.ts";
import { goldenRoots } from "../support/golden.ts";

/** The kinds that some test reads; a golden file of another kind is a failure, in folders.test.ts. */
export const kinds = [
  "operators",
  "schedulers",
  "unet2d-teacher",
  "stable-diffusion",
  "stable-diffusion-xl",
  "stable-diffusion-single-file",
  "sharded",
  "lora",
  "delta",
  "controlnet",
  "t2i-adapter",
  "ip-adapter",
  "textual-inversion",
  "vae-extras",
  "inpaint",
  "multiview",
  "safety-checker",
  "method",
  "method-steps",
] as const;
export type Kind = (typeof kinds)[number];

export interface GoldenFile<T> {
  readonly kind: string;
  /** Relative to the golden folder: what tests are named after. */
  readonly name: string;
  readonly file: string;
  /** The folder that the file lies in, and that its paths start from. */
  readonly folder: string;
  /** The file's content. */
  readonly golden: T;
}

/** `rms` and `max_abs` of a golden tensor, as its file states them. */
export interface TensorNote {
  readonly shape: readonly number[];
  readonly rms: number;
  readonly max_abs: number;
}

let found: readonly GoldenFile<unknown>[] | undefined;

/** Every golden file of every kind: JSON with a `kind` at its top, at most three folders deep. */
export function allGolden(): readonly GoldenFile<unknown>[] {
  found ??= goldenRoots().flatMap((root) =>
    jsonIn(root, 3).flatMap((file) => {
      const golden: unknown = JSON.parse(readFileSync(file, "utf8"));
      const kind = typeof golden === "object" && golden !== null && "kind" in golden ? golden.kind : undefined;
      return typeof kind === "string"
        ? [{ kind, name: relative(root, file).replaceAll("\\", "/"), file, folder: dirname(file), golden }]
        : [];
    }),
  );
  return found;
}

/** The golden files of one kind. T is what its test expects in them. */
export const goldenOf = <T>(kind: Kind): readonly GoldenFile<T>[] =>
  allGolden().filter((one): one is GoldenFile<T> => one.kind === kind);

/**
 * Prints how many cases of a part ran. `asked`: the files that have such cases; a file may lack a part. Throws if there
 * are such files and no case ran. That FEWSTEP_GOLDEN holds anything at all is checked by folders.test.ts.
 */
export function reportCases(kind: Kind, part: string, asked: readonly GoldenFile<unknown>[], ran: number): void {
  if (asked.length > 0 && ran === 0)
    throw new Error(`No ${part} case of kind ${kind} ran, although ${asked.map((one) => one.file).join(", ")} exist.`);
  console.log(`${kind}: ${ran} ${part} cases from ${asked.map(({ name }) => name).join(", ") || "no files"}`);
}

export const readJson = (...path: string[]): unknown => JSON.parse(readFileSync(join(...path), "utf8"));

export const tensorsIn = (file: string): ReadonlyMap<string, StoredTensor> =>
  readSafetensors(readFileSync(file), file).tensors;

/** The golden tensors beside a golden.json. */
export const goldenTensors = (one: GoldenFile<unknown>): ReadonlyMap<string, StoredTensor> =>
  tensorsIn(join(one.folder, "golden.safetensors"));

/** The folder that an add-on belongs to: its `base`, or itself. */
export const baseOf = (one: GoldenFile<{ readonly base?: string }>): string =>
  resolve(one.folder, one.golden.base ?? ".");

/**
 * A folder with vocab.json and merges.txt: the one stated, the model's own, or `tiny-sd15/tokenizer` or `tokenizer/`
 * beside it.
 */
export function vocabularyFolder(folder: string, stated = "tokenizer"): string {
  const places = [
    resolve(folder, stated),
    join(folder, "tokenizer"),
    resolve(folder, "../tiny-sd15/tokenizer"),
    resolve(folder, "../tokenizer"),
  ];
  const place = places.find((path) => existsSync(join(path, "vocab.json")) && existsSync(join(path, "merges.txt")));
  if (!place) throw new Error(`No vocab.json and merges.txt for ${folder}; looked in ${places.join(", ")}.`);
  return place;
}

export function largestDifference(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) throw new RangeError(`Expected ${b.length} values, got ${a.length}.`);
  return a.reduce((worst, value, i) => Math.max(worst, Number.isFinite(value) ? Math.abs(value - b[i]) : Infinity), 0);
}

const jsonIn = (folder: string, depth: number): string[] =>
  readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return depth > 0 ? jsonIn(path, depth - 1) : [];
    return entry.name.endsWith(".json") ? [path] : [];
  });
