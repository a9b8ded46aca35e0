// Shared algebra: linear combinations of states with float64 coefficients, and reads of the network's output.
import { coefficients } from "../core/prediction.ts";
import type { Row } from "../core/row.ts";
import type { Evaluation, Step, Vector } from "./solver.ts";

export type Term<V extends Vector> = readonly [coefficient: number, x: V];

/** Sum of coefficient·x, accumulated in float64. Terms with coefficient 0 are skipped. */
export function combine<V extends Vector>(terms: readonly Term<V>[]): V {
  const like = terms[0][1];
  const out = (like instanceof Float64Array ? new Float64Array(like.length) : new Float32Array(like.length)) as V;
  const used = terms.filter(([c]) => c !== 0);
  const coefficients = Float64Array.from(used, ([c]) => c);
  const vectors = used.map(([, x]) => x);
  if (used.length === 2) {
    // The usual cases, a row read from state and prediction and one more: faster without the inner loop, the same bytes.
    const [[p, a], [q, b]] = used;
    for (let i = 0; i < out.length; i++) out[i] = p * a[i] + q * b[i];
    return out;
  }
  if (used.length === 3) {
    const [[p, a], [q, b], [r, c]] = used;
    for (let i = 0; i < out.length; i++) out[i] = p * a[i] + q * b[i] + r * c[i];
    return out;
  }
  for (let i = 0; i < out.length; i++) {
    let sum = 0;
    for (let k = 0; k < vectors.length; k++) sum += coefficients[k] * vectors[k][i];
    out[i] = sum;
  }
  return out;
}

export const eps: Row = [0, 1];
export const x0: Row = [1, 0];

/** Evaluates the network at (x, t) and reads a row from it. */
export async function evaluate<V extends Vector>(step: Step<V>, x: V, t: number, want: Row): Promise<V> {
  const y = await step.predict(x, t);
  const [p, q] = coefficients(step.form, t, step.prediction, want);
  return combine([
    [p, x],
    [q, y],
  ]);
}

/** As `evaluate`, for several rows of one evaluation. */
export async function evaluateAll<V extends Vector>(
  step: Step<V>,
  x: V,
  t: number,
  wants: readonly Row[],
): Promise<V[]> {
  const y = await step.predict(x, t);
  return wants.map((want) => {
    const [p, q] = coefficients(step.form, t, step.prediction, want);
    return combine([
      [p, x],
      [q, y],
    ]);
  });
}

/** The newest `keep` evaluations after adding one. */
export const remember = <V extends Vector>(step: Step<V>, m: V, keep: number, x = step.x): readonly Evaluation<V>[] =>
  [{ t: step.t, m, x }, ...step.state.past].slice(0, keep);

/** A state with nothing remembered. */
export const fresh = { init: <V extends Vector>() => ({ past: [] as readonly Evaluation<V>[] }) };
