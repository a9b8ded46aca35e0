// Delta weights: the difference of a student and its base, which turns other models of the same architecture into few-step
// ones. PeRFlow publishes its students so (https://github.com/magic-research/piecewise-rectified-flow).
import { fromHalf, toHalf } from "../data/half.ts";
import { someOf } from "../data/tensorIndex.ts";

/**
 * How weights and a delta are added. "fp32": W + float(d). "fp16": the weights are rounded to float16 and added in float16,
 * as PeRFlow's own loader does with its float16 deltas (merge_delta_weights_into_unet).
 */
export type MergeRule = "fp32" | "fp16";

const half = (values: Float32Array): Float32Array => fromHalf(toHalf(values));

/**
 * W + scale·d. Every product and sum is rounded once to the rule's type: float64 sums of two float32, or of two float16
 * after float32, round as they would directly. Throws RangeError for unequal lengths.
 */
export function mergeDelta(
  weights: Float32Array,
  delta: Float32Array | Float64Array,
  { scale = 1, rule = "fp32" }: { readonly scale?: number; readonly rule?: MergeRule } = {},
): Float32Array {
  if (weights.length !== delta.length)
    throw new RangeError(`The delta has ${delta.length} values, expected ${weights.length} for these weights.`);
  const out = new Float32Array(weights.length);
  if (rule === "fp32") {
    // A float64 delta is kept whole: its sum with a weight is rounded once.
    const factor = (d: number) =>
      scale === 1 ? d : delta instanceof Float32Array ? Math.fround(scale * d) : scale * d;
    for (let i = 0; i < out.length; i++) out[i] = weights[i] + factor(delta[i]);
    return out;
  }
  const base = half(weights);
  const added = half(Float32Array.from(delta));
  const scaled = scale === 1 ? added : half(added.map((d) => scale * d));
  for (let i = 0; i < out.length; i++) out[i] = base[i] + scaled[i];
  return half(out);
}

/** "exact": float32, or float64 where float32 does not give the student back. */
export type DeltaType = "exact" | "float32" | "float16";

export interface DeltaTensor {
  readonly dtype: "F64" | "F32" | "F16";
  readonly data: Float32Array | Float64Array;
  /** The largest |merged − student| in units of the student's last place, with the rule "fp32". */
  readonly ulps: number;
  /** Sum of squares, for norms of many. */
  readonly energy: number;
}

/**
 * student − base. A float32 difference cannot give back a weight that is much smaller than its base's (1 + d has no digits
 * for 0.00001), so "exact" keeps such tensors in float64: merging is then right to the last place, but for weights under
 * 2^-29 of their base's, which no sum in float64 gives back; `ulps` says so.
 */
export function deltaOf(base: Float32Array, student: Float32Array, type: DeltaType = "exact"): DeltaTensor {
  if (base.length !== student.length)
    throw new RangeError(`The student has ${student.length} values, expected the base's ${base.length}.`);
  const single = Float32Array.from(student, (s, i) => s - base[i]);
  const energy = single.reduce((sum, d) => sum + d * d, 0);
  if (type === "float16") {
    const data = half(single);
    return { dtype: "F16", data, ulps: worstUlps(base, student, data), energy };
  }
  const ulps = worstUlps(base, student, single);
  if (type === "float32" || ulps <= 1) return { dtype: "F32", data: single, ulps, energy };
  const data = Float64Array.from(student, (s, i) => s - base[i]);
  return { dtype: "F64", data, ulps: worstUlps(base, student, data), energy };
}

function worstUlps(base: Float32Array, student: Float32Array, delta: Float32Array | Float64Array): number {
  const merged = mergeDelta(base, delta);
  let worst = 0;
  for (let i = 0; i < merged.length; i++) {
    const off = Math.abs(merged[i] - student[i]);
    if (off > 0) worst = Math.max(worst, off / ulp(Math.min(Math.abs(student[i]), Math.abs(merged[i]))));
    else if (Number.isNaN(off)) return Number.POSITIVE_INFINITY;
  }
  return worst;
}

/** The distance from x >= 0 to the next larger float32. */
function ulp(magnitude: number): number {
  if (magnitude < 2 ** -126) return 2 ** -149;
  return 2 ** (Math.floor(Math.log2(magnitude)) - 23);
}

export interface Shaped {
  readonly shape: readonly number[];
}

/** How tensors to be added fit those of a base. */
export interface Fit {
  readonly fitting: readonly string[];
  /** Not in the base. */
  readonly unknown: readonly string[];
  /** "name [have], the base has [want]" */
  readonly misshapen: readonly string[];
  /** In the base only: they stay as they are. */
  readonly untouched: readonly string[];
}

/** Which weights of `added` a base has, by names and shapes. */
export function fitOf(base: ReadonlyMap<string, Shaped>, added: ReadonlyMap<string, Shaped>): Fit {
  const fitting: string[] = [];
  const unknown: string[] = [];
  const misshapen: string[] = [];
  for (const [name, { shape }] of added) {
    const want = base.get(name)?.shape;
    if (!want) unknown.push(name);
    else if (want.join() === shape.join()) fitting.push(name);
    else misshapen.push(`${name} [${shape}], the base has [${want}]`);
  }
  return { fitting, unknown, misshapen, untouched: [...base.keys()].filter((name) => !added.has(name)) };
}

/** In words, a part a line; empty where everything fits. */
export function fitText({ fitting, unknown, misshapen, untouched }: Fit): string[] {
  return [
    unknown.length > 0 && `${unknown.length} tensors are not in the base: ${someOf(unknown)}`,
    misshapen.length > 0 && `${misshapen.length} have other shapes: ${someOf(misshapen)}`,
    untouched.length > 0 && `${untouched.length} of the base have no delta: ${someOf(untouched)}`,
  ].flatMap((line) => (line === false ? [] : [`${line} (${fitting.length} fit)`]));
}

/**
 * Throws an Error where a delta does not fit in full; `partly`: only where nothing fits. `names` say whose delta and base
 * they are.
 */
export function checkFit(fit: Fit, names: { readonly base: string; readonly delta: string }, partly = false): void {
  const { fitting } = fit;
  if (fitting.length === 0)
    throw new Error(
      `Nothing of ${names.delta} fits ${names.base}: ${fitText(fit)[0] ?? "it holds no tensors"}. Give the delta of a model of the same architecture.`,
    );
  const text = fitText(fit);
  if (!partly && text.length > 0)
    throw new Error(
      `${names.delta} is not a delta of a model like ${names.base}: ${text.join("; ")}. Give the one for this architecture, or apply it where the shapes match.`,
    );
}

/** Scales of blocks by the beginning of their names: "mid_block", "up_blocks.3.attentions". The longest that fits wins. */
export type BlockScales = ReadonlyMap<string, number>;

/** What a weight of this name is scaled by: `scale` times that of its block. */
export function scaleOf(name: string, scale: number, blocks: BlockScales): number {
  let best: readonly [string, number] = ["", 1];
  for (const entry of blocks)
    if ((name === entry[0] || name.startsWith(`${entry[0]}.`)) && entry[0].length > best[0].length) best = entry;
  return scale * best[1];
}

/** Throws RangeError for a block that no name begins with. */
export function checkBlocks(names: readonly string[], blocks: BlockScales): void {
  for (const block of blocks.keys())
    if (!names.some((name) => name === block || name.startsWith(`${block}.`)))
      throw new RangeError(
        `There is no block "${block}"; there are ${someOf([...new Set(names.map((n) => n.split(".").slice(0, 2).join(".")))], 12)}.`,
      );
}
