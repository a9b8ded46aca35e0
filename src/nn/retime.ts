// The first layer of a U-Net's time embedding, refitted to another scale of time: it answers the new waves as nearly as it
// can as it answered the old ones, in least squares. What only the fastest of the old waves told is averaged out.

import { type SinusoidOptions, waveRates } from "./embed.ts";
import type { Network } from "./network.ts";
import { flatten, type ParamSpec, unflatten } from "./params.ts";

const LAYER = "time_embedding.linear_1";
/** Times in [0, 1] that are compared: six for every turn of the fastest wave of a table of 1000. */
const TIMES = 1024;
/** Keeps the weights of waves so slow that they are nearly alike small. */
const RIDGE = 1e-4;

/**
 * The weights [P] with that layer refitted. `before` and `after` are what the network is told at t in [0, 1]. Networks
 * that see the time otherwise, or have no such layer of their own, keep their weights.
 */
export function retimed(
  network: Network,
  spec: readonly ParamSpec[],
  theta: Float32Array,
  before: (t: number) => number,
  after: (t: number) => number,
): Float32Array {
  const own = spec.find(({ name }) => name === `${LAYER}.weight`);
  if (network.family !== "unet2d" || network.config.time_embedding_type !== "positional" || !own) return theta;
  const { flip_sin_to_cos, freq_shift } = network.config;
  const [out, width] = own.shape;
  const waves = (tau: number) => wavesAt(tau, width, { flipSinToCos: flip_sin_to_cos, freqShift: freq_shift });
  const arrays = unflatten(spec, theta);
  const [weight, bias] = ["weight", "bias"].map((part) => arrays.get(`${LAYER}.${part}`)?.data as Float32Array);
  const times = Array.from({ length: TIMES }, (_, i) => (i + 0.5) / TIMES);
  const rows = times.map((t) => [...waves(after(t)), 1]);
  const old = times.map((t) => waves(before(t)));
  const wanted = Array.from({ length: out }, (_, j) =>
    old.map((row) => row.reduce((sum, wave, i) => sum + wave * weight[j * width + i], bias[j])),
  );
  leastSquares(rows, wanted, RIDGE).forEach((fit, j) => {
    weight.set(fit.slice(0, width), j * width);
    bias[j] = fit[width];
  });
  return flatten(spec, arrays);
}

function wavesAt(tau: number, width: number, options: SinusoidOptions): number[] {
  const angles = [...waveRates(width, options)].map((rate) => rate * tau);
  const [cos, sin] = [angles.map(Math.cos), angles.map(Math.sin)];
  return [...(options.flipSinToCos ? [...cos, ...sin] : [...sin, ...cos]), ...Array(width % 2).fill(0)];
}

/** For each y of `wanted` the b with the least mean of (row·b − y)² + ridge·|b|². */
function leastSquares(rows: readonly number[][], wanted: readonly number[][], ridge: number): number[][] {
  const n = rows[0].length;
  const of = (i: number, y: (k: number) => number) =>
    rows.reduce((sum, row, k) => sum + row[i] * y(k), 0) / rows.length;
  // [A | B], which elimination turns into [1 | A⁻¹B]; A is positive definite, so no row has to be chosen first.
  const table = Array.from({ length: n }, (_, i) => [
    ...Array.from({ length: n }, (_, j) => of(i, (k) => rows[k][j]) + (i === j ? ridge : 0)),
    ...wanted.map((y) => of(i, (k) => y[k])),
  ]);
  for (let i = 0; i < n; i++) {
    table[i] = table[i].map((value) => value / table[i][i]);
    for (let k = 0; k < n; k++) if (k !== i) table[k] = table[k].map((value, j) => value - table[k][i] * table[i][j]);
  }
  return wanted.map((_, j) => table.map((row) => row[n + j]));
}
