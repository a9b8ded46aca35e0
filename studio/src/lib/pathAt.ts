// Where particles are between two states of a sampler. A step holds its prediction fixed, so what lies between two states is
// a row of the pair that both are rows of: one combination for all particles, straight on PeRFlow's chord, bent on the
// teacher's own form.
import { type Form, transfer } from "fewstep/core";

export interface Run {
  readonly form: Form;
  /** Falling, from noise to data. */
  readonly times: readonly number[];
  /** [n, 2] at every time. */
  readonly states: readonly Float32Array[];
}

/** Index of the step that holds t: times[k] ≥ t ≥ times[k + 1]. */
export function stepOf(times: readonly number[], t: number): number {
  const last = times.length - 2;
  let k = 0;
  while (k < last && times[k + 1] >= t) k++;
  return k;
}

/** All particles at t, [n, 2]; before the first time and after the last one they rest there. */
export function statesAt({ form, times, states }: Run, t: number, out?: Float32Array): Float32Array {
  const last = times.length - 1;
  if (t >= times[0]) return states[0];
  if (t <= times[last]) return states[last];
  const k = stepOf(times, t);
  const [a, b] = [states[k], states[k + 1]];
  const [p, q] = weights(form, times[k], times[k + 1], t);
  const to = out && out.length === a.length ? out : new Float32Array(a.length);
  for (let i = 0; i < to.length; i++) to[i] = p * a[i] + q * b[i];
  return to;
}

function weights(form: Form, from: number, to: number, t: number): readonly [number, number] {
  const [have, pred, want] = [form.at(from), form.at(to), form.at(t)];
  try {
    return transfer(have, pred, want);
  } catch {
    // Two states of one noise level: there is nothing between them but the straight line.
    const q = (from - t) / (from - to);
    return [1 - q, q];
  }
}

/** Points of the path of some particles, for drawing: at the states, and between them where few steps are long. */
export function pathTimes(times: readonly number[], finest = 96): number[] {
  const per = Math.max(1, Math.ceil(finest / (times.length - 1)));
  const inner = times.slice(0, -1).flatMap((from, k) => {
    const to = times[k + 1];
    return Array.from({ length: per }, (_, i) => from + ((to - from) * i) / per);
  });
  return [...inner, times[times.length - 1]];
}

/** In which window t lies, from 0 at the noise; an edge belongs to the window that it starts. */
export function windowOf(edges: readonly number[], t: number): number {
  let w = 0;
  while (w < edges.length - 2 && t <= edges[w + 1] + 1e-9) w++;
  return w;
}
