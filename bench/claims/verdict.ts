// From numbers to a verdict, by rules that are fixed before anything is run.
import { quantile95 } from "../../src/metrics/studentT.ts";

export type Verdict = "holds" | "does not hold" | "undecided";

/** One thing that a claim says, with the numbers it rests on. */
export interface Part {
  readonly says: string;
  readonly verdict: Verdict;
  readonly rule: string;
  readonly numbers: Readonly<Record<string, unknown>>;
}

const mean = (x: readonly number[]): number => x.reduce((a, b) => a + b, 0) / x.length;

/** 95 % interval of the mean by Student's t. */
export function interval(x: readonly number[]): { mean: number; low: number; high: number } {
  const m = mean(x);
  const deviation = Math.sqrt(x.reduce((s, v) => s + (v - m) ** 2, 0) / (x.length - 1));
  const half = (quantile95(x.length - 1) * deviation) / Math.sqrt(x.length);
  return { mean: m, low: m - half, high: m + half };
}

/**
 * "a is below b": the logarithm of b/a, seed by seed (the same teacher, pairs and noise). Holds where its 95 % interval
 * lies above 0, does not where it lies below, and is undecided where it contains 0.
 */
export function below(says: string, a: readonly number[], b: readonly number[]): Part {
  const ratios = a.map((value, i) => Math.log(b[i] / value));
  const { mean: m, low, high } = interval(ratios);
  const verdict: Verdict = low > 0 ? "holds" : high < 0 ? "does not hold" : "undecided";
  const rule = "95 % interval of the mean of ln(second/first) over seeds, against 0";
  const exp = (x: number) => Number(Math.exp(x).toPrecision(4));
  return { says, verdict, rule, numbers: { first: a, second: b, ratio: exp(m), interval: [exp(low), exp(high)] } };
}

/** "every value is at most (or at least) a limit": holds where it is so in every seed, does not where in none. */
export function within(says: string, values: readonly number[], limit: number, side: "most" | "least" = "most"): Part {
  const fine = values.map((v) => (side === "most" ? v <= limit : v >= limit));
  const verdict: Verdict = fine.every(Boolean) ? "holds" : fine.some(Boolean) ? "undecided" : "does not hold";
  return { says, verdict, rule: `at ${side} ${limit} in every seed`, numbers: { values, limit } };
}

/** A claim holds where all of its parts do, and does not where one does not. */
export function together(parts: readonly Part[]): Verdict {
  if (parts.some(({ verdict }) => verdict === "does not hold")) return "does not hold";
  return parts.every(({ verdict }) => verdict === "holds") ? "holds" : "undecided";
}
