// How straight and how first-order trajectories are: over the whole path and per window.

import { coefficients, type Form, type Grid, type Prediction, type Windows } from "../core/index.ts";

type Values = Float32Array | Float64Array;

/** What a path is measured from. States may come from any solver, e.g. `integrate`'s onStep, or from a formula. */
export interface Path {
  readonly form: Form;
  readonly prediction: Prediction;
  /** Falling times of the states, ends included. */
  readonly times: Grid;
  /** One state [n * dim] per time. */
  readonly states: readonly Values[];
  /** Number of values of one sample. */
  readonly dim: number;
  /** Evaluated once at every state. */
  readonly predict: (x: Values, t: number) => Promise<Values>;
}

/** Every number is a mean over samples; 0 is a straight, first-order path. */
export interface PathReport {
  /** The times it covers. */
  readonly from: number;
  readonly to: number;
  /**
   * ∫ E|(z1 - z0) - v|² per value, in flow-matching coordinates z = x/(alpha + sigma), where tau = sigma/(alpha + sigma)
   * and v = eps - x0. On the linear form, from 1 to 0, this is Rectified Flow's S; the coordinates make it the same for all forms.
   */
  readonly straightness: number;
  /** The same over E|z1 - z0|². */
  readonly relativeStraightness: number;
  /** FO_r: the share of E|eps|² that is not its mean along the path, weighted by dr. Null where r is infinite. */
  readonly firstOrder: number | null;
  /** FO_N: the same over the states that steps start from, unweighted. */
  readonly firstOrderSteps: number;
  /** E|eps - its mean along the path|² over the mean of E|eps|², at every state that a step starts from; the mean is FO_N. */
  readonly variation: readonly { readonly t: number; readonly value: number }[];
  /** DX: mean square distance of the predicted x0 from the last one, over the variance of the last ones. */
  readonly drift: number;
  /** G_N: mean square distance of the x0 predicted at the start from the last one, over the same variance. */
  readonly gap: number;
  readonly curvature: Curvature;
}

/** Of the polyline through the states, in flow-matching coordinates. */
export interface Curvature {
  /** Length over distance of the ends, minus 1. */
  readonly excess: number;
  /** Largest distance from the chord, over its length. */
  readonly bow: number;
  /** Mean angle between successive steps, radians. */
  readonly turning: number;
}

interface Point {
  readonly t: number;
  readonly alpha: number;
  readonly sigma: number;
  readonly x: Values;
  readonly eps: Float64Array;
  readonly x0: Float64Array;
}

/** Evaluates the network once per state. @throws RangeError where the prediction cannot be read (core's `read`). */
async function points({ form, prediction, times, states, predict }: Path): Promise<Point[]> {
  if (states.length !== times.length || times.length < 2) {
    throw new RangeError(
      `There are ${states.length} states at ${times.length} times. Expected one each, at least two.`,
    );
  }
  const out: Point[] = [];
  for (const [i, t] of times.entries()) {
    const x = states[i];
    const y = await predict(x, t);
    const [alpha, sigma] = form.at(t);
    const get = (want: readonly [number, number]): Float64Array => {
      const [p, q] = coefficients(form, t, prediction, want);
      return Float64Array.from(x, (v, k) => p * v + q * y[k]);
    };
    out.push({ t, alpha, sigma, x, eps: get([0, 1]), x0: get([1, 0]) });
  }
  return out;
}

/**
 * Measures a path as a whole and, given windows, inside each. Integrals are trapezoids over the given times, so use a fine
 * grid for the model's own flow (100 steps or more) and the sampler's grid for what the sampler sees.
 * @throws RangeError for a window edge inside the path that is not one of its times.
 */
export async function pathReport(path: Path, windows?: Windows): Promise<{ whole: PathReport; windows: PathReport[] }> {
  const all = await points(path);
  const whole = report(all, path.dim);
  if (!windows) return { whole, windows: [] };
  const [from, to] = [all[0].t, all[all.length - 1].t];
  const index = (t: number): number => {
    const found = all.findIndex((p) => Math.abs(p.t - t) < 1e-9);
    if (found < 0)
      throw new RangeError(`The window edge ${t} is not a time of the path. Expected a grid through every edge.`);
    return found;
  };
  const parts: PathReport[] = [];
  for (let i = 0; i < windows.count; i++) {
    const [start, end] = [windows.edges[i], windows.edges[i + 1]];
    if (start > from + 1e-9 || end < to - 1e-9) continue;
    parts.push(report(all.slice(index(start), index(end) + 1), path.dim));
  }
  return { whole, windows: parts };
}

function report(all: readonly Point[], dim: number): PathReport {
  const [first, last] = [all[0], all[all.length - 1]];
  const n = first.x.length / dim;
  if (!Number.isInteger(n))
    throw new RangeError(`A state has ${first.x.length} values. Expected a multiple of ${dim}.`);
  const starts = all.slice(0, -1);

  // Flow-matching coordinates: finite at both ends of every form.
  const tau = all.map(({ alpha, sigma }) => sigma / (alpha + sigma));
  const z = all.map(({ x, alpha, sigma }) => Float64Array.from(x, (v) => v / (alpha + sigma)));
  const span = tau[0] - tau[tau.length - 1];
  const chord = z[0].map((v, k) => (v - z[z.length - 1][k]) / span);
  const straightness =
    integrate(
      tau,
      all.map(({ eps, x0 }) => meanSquare(chord.map((c, k) => c - (eps[k] - x0[k])))),
    ) / span;

  const mean = average(starts.map(({ eps }) => eps));
  const scale = sumOf(starts.map(({ eps }) => meanSquare(eps))) / starts.length;
  const variation = starts.map(({ t, eps }) => ({ t, value: meanSquare(eps.map((e, k) => e - mean[k])) / scale }));

  const variance = scatter(last.x0, dim);
  const away = (point: Point) => meanSquare(point.x0.map((v, k) => v - last.x0[k])) / variance;
  return {
    from: first.t,
    to: last.t,
    straightness,
    relativeStraightness: straightness / meanSquare(chord),
    firstOrder: firstOrderOf(all),
    firstOrderSteps: sumOf(variation.map(({ value }) => value)) / variation.length,
    variation,
    drift: sumOf(starts.map(away)) / starts.length,
    gap: away(first),
    curvature: curvatureOf(z, dim),
  };
}

/** 1 - |mean eps|²/mean |eps|² with dr as the measure; the mean comes from the ends of y = x/alpha, not from quadrature. */
function firstOrderOf(all: readonly Point[]): number | null {
  if (all.some(({ alpha }) => alpha === 0)) return null;
  const r = all.map(({ alpha, sigma }) => sigma / alpha);
  const [first, last] = [all[0], all[all.length - 1]];
  const range = r[0] - r[r.length - 1];
  const mean = Float64Array.from(first.x, (v, k) => (v / first.alpha - last.x[k] / last.alpha) / range);
  const square =
    integrate(
      r,
      all.map(({ eps }) => meanSquare(eps)),
    ) / range;
  // ∫|eps - mean|² = ∫|eps|² - 2 mean·∫eps + |mean|² range, and ∫eps dr need not be mean·range on a coarse grid.
  const cross =
    integrate(
      r,
      all.map(({ eps }) => meanProduct(eps, mean)),
    ) / range;
  return (square - 2 * cross + meanSquare(mean)) / square;
}

/** Trapezoid rule on falling nodes, as a positive integral. */
const integrate = (nodes: readonly number[], values: readonly number[]): number =>
  nodes.slice(1).reduce((sum, node, i) => sum + ((nodes[i] - node) * (values[i] + values[i + 1])) / 2, 0);

const sumOf = (values: readonly number[]): number => values.reduce((sum, v) => sum + v, 0);
const meanProduct = (a: Float64Array, b: Float64Array): number => a.reduce((sum, v, k) => sum + v * b[k], 0) / a.length;
const meanSquare = (a: Float64Array): number => meanProduct(a, a);
const average = (list: readonly Float64Array[]): Float64Array =>
  list[0].map((_, k) => sumOf(list.map((v) => v[k])) / list.length);

/** Mean square distance of samples from their mean, per value. @throws RangeError if all samples are equal. */
function scatter(data: Float64Array, dim: number): number {
  const n = data.length / dim;
  const mean = new Float64Array(dim);
  data.forEach((v, k) => {
    mean[k % dim] += v / n;
  });
  const total = data.reduce((sum, v, k) => sum + (v - mean[k % dim]) ** 2, 0) / data.length;
  if (!(total > 0))
    throw new RangeError(`All ${n} endpoints are equal, so drift and gap have no scale. Expected different samples.`);
  return total;
}

function curvatureOf(z: readonly Float64Array[], dim: number): Curvature {
  const n = z[0].length / dim;
  let [excess, bow, turning] = [0, 0, 0];
  for (let s = 0; s < n; s++) {
    const path = z.map((v) => v.subarray(s * dim, (s + 1) * dim));
    const steps = path.slice(1).map((v, i) => v.map((c, k) => c - path[i][k]));
    const whole = path[path.length - 1].map((c, k) => c - path[0][k]);
    const distance = norm(whole);
    excess += sumOf(steps.map(norm)) / distance - 1;
    bow += Math.max(...path.map((v) => offChord(v, path[0], whole, distance))) / distance;
    const angles = steps.slice(1).map((v, i) => angle(steps[i], v));
    turning += angles.length === 0 ? 0 : sumOf(angles) / angles.length;
  }
  return { excess: excess / n, bow: bow / n, turning: turning / n };
}

const norm = (v: Float64Array): number => Math.hypot(...v);

/** Distance of a point from the segment through `start` along `whole`. */
function offChord(v: Float64Array, start: Float64Array, whole: Float64Array, length: number): number {
  const from = v.map((c, k) => c - start[k]);
  const along = from.reduce((sum, c, k) => sum + c * whole[k], 0) / (length * length);
  const clamped = Math.min(1, Math.max(0, along));
  return norm(from.map((c, k) => c - clamped * whole[k]));
}

/** Angle between two steps; atan2 of sine and cosine keeps small angles exact. */
function angle(a: Float64Array, b: Float64Array): number {
  const [la, lb] = [norm(a), norm(b)];
  if (la === 0 || lb === 0) return 0;
  const difference = a.map((c, k) => c / la - b[k] / lb);
  const sum = a.map((c, k) => c / la + b[k] / lb);
  return 2 * Math.atan2(norm(difference), norm(sum));
}
