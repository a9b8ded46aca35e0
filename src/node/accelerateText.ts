// What `accelerate` does beside the usual where the teacher is told texts, or where only a low-rank change is trained.
import type { Dataset } from "../data/dataset.ts";
import { fromConstants, unflatten } from "../nn/params.ts";
import type { Key } from "../random.ts";
import { type LowRankOptions, lowRankStart } from "../recipes/lowRankStart.ts";
import type { Start } from "../recipes/recipe.ts";
import type { SampleOptions } from "../run/sample.ts";
import type { BaseWeights } from "./baseWeights.ts";
import type { Context } from "./context.ts";
import { cacheFolder } from "./externalWeights.ts";
import { UsageError, usage } from "./failure.ts";
import type { AnyRecipe } from "./methods.ts";
import { flagName } from "./options.ts";
import { readRegular } from "./regular.ts";
import { isTextFolder, openTextTeacher, type TextTeacher } from "./textTeacher.ts";

const keys = ["rank", "alpha", "layers"] as const;

interface Given {
  readonly train?: "full" | "lora";
  readonly rank?: number;
  readonly alpha?: number;
  readonly layers?: readonly string[];
}

/**
 * What is the low-rank change's, and what is left for the method. Throws UsageError for options of a change where all weights
 * are trained, and for a change of rank 0.
 */
export function splitLowRank<G extends Given>(recipe: AnyRecipe, given: G): { forMethod: G; lowRank?: LowRankOptions } {
  if (given.train !== "lora") {
    const idle = keys.filter((key) => given[key] !== undefined && !(key in recipe.options.shape));
    if (idle.length > 0)
      throw new UsageError(`${idle.map((key) => `--${flagName(key)}`).join(" and ")} belong to --train lora.`);
    return { forMethod: given };
  }
  const { rank = 16, alpha, layers } = given;
  if (rank < 1) throw new UsageError(`--rank is ${rank}, expected at least 1 with --train lora.`);
  const none = { rank: undefined, alpha: undefined, layers: undefined };
  // A critic of swiftbrush is then a change of the same rank: as much as is trained of the student.
  const critic = "rank" in recipe.options.shape ? { rank: 0 } : {};
  return { forMethod: { ...given, ...none, ...critic }, lowRank: { rank, alpha, layers } };
}

/** The start of which only a change is trained, with the weights that it is of. */
export function changedStart(start: Start, o: LowRankOptions, seed: Key): { start: Start; base: BaseWeights } {
  if (start.asked !== undefined || start.network.family === "onnx")
    throw new UsageError(
      `--train lora changes the teacher's own layers, and ${start.asked === undefined ? "an ONNX file does not name them" : "this student does not begin as its teacher"}: use --train full.`,
    );
  const { spec, theta } = start;
  const arrays = unflatten(spec, theta);
  const base: BaseWeights = { spec, read: async (name) => arrays.get(name)!.data };
  return { start: usage(() => lowRankStart(start, spec, fromConstants(arrays), o, seed)), base };
}

export interface TextGiven {
  readonly teacher: string;
  readonly data?: string;
  readonly student?: string;
  readonly nullClass?: boolean;
  readonly resolution?: number;
  readonly previewPrompts?: string;
  readonly cacheDir?: string;
  readonly variant?: string;
}

/** The teacher where it is a folder of Stable Diffusion; undefined for others, whose options of that kind are refused. */
export async function textTeacher(
  given: TextGiven,
  lowRank: LowRankOptions | undefined,
  seed: Key,
  context: Context,
): Promise<TextTeacher | undefined> {
  if (!(await isTextFolder(given.teacher))) {
    const idle = (["resolution", "previewPrompts", "cacheDir", "variant"] as const).filter(
      (k) => given[k] !== undefined,
    );
    if (idle.length > 0)
      throw new UsageError(
        `${idle.map((key) => `--${flagName(key)}`).join(" and ")} are for text to image, and ${given.teacher} is no such folder.`,
      );
    return undefined;
  }
  if (given.data === undefined)
    throw new UsageError(
      "--data is missing: a text-to-image teacher needs pictures with captions, or their captions at least.",
    );
  if (given.student !== undefined)
    throw new UsageError("--student: a text-to-image student begins as its teacher. Leave it out.");
  if (given.nullClass !== undefined)
    throw new UsageError("--null-class is for teachers with classes, and this one is told texts.");
  const { teacher: path, variant, resolution, cacheDir: cache = cacheFolder() } = given;
  return openTextTeacher({ path, variant, resolution, cache, lowRank, seed }, context);
}

/** The conditions of pair i are those of sample i, again and again. */
export const pairConditions =
  (data: Dataset): NonNullable<SampleOptions["cond"]> =>
  (from, count) =>
    data.batch(Uint32Array.from({ length: count }, (_, i) => (from + i) % data.size)).cond ?? {};

const SHOWN = 4;
const MOST_PROMPTS = 16;

/** Of a file, a line each; else the first captions that differ. */
export async function promptsOf(file: string | undefined, data: Dataset): Promise<readonly string[]> {
  if (file === undefined) return [...new Set(data.captions)].slice(0, SHOWN);
  const text = new TextDecoder().decode(await readRegular(file, 1 << 20));
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== "");
  if (lines.length === 0 || lines.length > MOST_PROMPTS)
    throw new UsageError(`${file} has ${lines.length} prompts, expected 1 to ${MOST_PROMPTS}, one per line.`);
  return lines;
}

/** What to do with a student that is told texts. */
export const nextOfText = ({ path }: { readonly path: string }): string =>
  `For pictures: fewstep export ${path} --to diffusers --out student, then fewstep generate student --prompt "…"`;
