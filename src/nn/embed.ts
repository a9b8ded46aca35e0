// Embeddings of time and other scalars.
import type { Cond } from "../condition.ts";
import { add, concat, constant, cos, log, mul, pad, reshape, sin, stopGradient, type Tensor } from "../graph/index.ts";
import { type ActivationName, activate } from "./activations.ts";
import { linear } from "./layers.ts";
import { type Init, type Params, seen } from "./params.ts";

export interface SinusoidOptions {
  /** [cos | sin] instead of [sin | cos]. */
  readonly flipSinToCos?: boolean;
  /** diffusers' downscale_freq_shift: frequencies are exp(-ln(10000) i / (half - shift)). */
  readonly freqShift?: number;
}

/** Frequencies of the waves. Every step is rounded to float32, as in PyTorch: at x = 999 float64 would differ by 5e-5. */
export function waveRates(width: number, { freqShift = 0 }: SinusoidOptions): Float32Array {
  const half = Math.floor(width / 2);
  const rate = Math.fround(-Math.log(10000));
  return Float32Array.from({ length: half }, (_, i) =>
    Math.exp(Math.fround(Math.fround(rate * i) / Math.fround(half - freqShift))),
  );
}

/** Sinusoidal embedding of x [B], on the scale 0 to 1000, to [B, width] (Ho et al. 2020; Vaswani et al. 2017, 3.5). */
export function sinusoid(x: Tensor, width: number, options: SinusoidOptions = {}): Tensor {
  const { flipSinToCos = true } = options;
  const half = Math.floor(width / 2);
  const frequencies = waveRates(width, options);
  const angles = mul(reshape(x, [x.shape[0], 1]), constant(frequencies, [1, half]));
  const waves = concat(flipSinToCos ? [cos(angles), sin(angles)] : [sin(angles), cos(angles)], 1);
  return width % 2 === 0
    ? waves
    : pad(waves, [
        [0, 0],
        [0, 1],
      ]);
}

/** Random Fourier features of ln x [B] (Song et al. 2021) to [B, 2 width]; the frequencies are drawn once, not trained. */
export function fourier(p: Params, name: string, x: Tensor, width: number, scale: number): Tensor {
  const w = stopGradient(p(`${name}.weight`, [width], { normal: scale }));
  const angles = mul(mul(reshape(log(x), [x.shape[0], 1]), reshape(w, [1, width])), 2 * Math.PI);
  return seen(p, name, concat([sin(angles), cos(angles)], 1));
}

export interface TimestepMlpOptions {
  readonly act?: ActivationName;
  /** A further condition [B, any], projected without bias and added to the input (the guidance of LCM). */
  readonly condition?: Tensor;
  /** Start of the last layer, where it is not PyTorch's default. */
  readonly last?: Init;
}

/** What methods tell a network beside the time, and how wide it is embedded; null and false: nothing. */
export interface MethodConditions {
  /** Width of the embedding of the guidance w (LCM); diffusers calls it time_cond_proj_dim. */
  readonly guidance: number | null;
  /** Whether it is told the interval that it steps over (MeanFlow). */
  readonly span: boolean;
}

/**
 * The embedding of w [B] that LCM's networks are trained with (Luo et al. 2023, section 4.3): [sin | cos] of 1000·w·f_j,
 * f_j = 10000^(−j/(half − 1)).
 */
export const guidanceEmbedding = (w: Tensor, width: number): Tensor =>
  sinusoid(mul(w, 1000), width, { flipSinToCos: false, freqShift: 1 });

/**
 * Time [B] as a network of its own sees it: the sinusoid with the guidance's embedding added, through an MLP, and the
 * embedded span added to that. `waves` makes the sinusoid.
 */
export function timeEmbedding(
  p: Params,
  tau: Tensor,
  cond: Cond,
  width: number,
  { guidance, span }: MethodConditions,
  waves: (x: Tensor) => Tensor,
): Tensor {
  const condition = guidance === null ? undefined : guidanceEmbedding(cond.guidance, guidance);
  const time = timestepMlp(p, "time_embedding", waves(tau), width, { condition });
  return span ? add(time, timestepMlp(p, "span_embedding", waves(cond.span), width, { last: "zeros" })) : time;
}

/** diffusers' TimestepEmbedding: linear_1, activation, linear_2. x [B, in] to [B, width]. */
export function timestepMlp(
  p: Params,
  name: string,
  x: Tensor,
  width: number,
  options: TimestepMlpOptions = {},
): Tensor {
  const { act = "silu", condition, last } = options;
  // LCM begins as its teacher: the projection is zero at the start.
  const sum = condition
    ? add(x, linear(p, `${name}.cond_proj`, condition, x.shape[1], { bias: false, init: "zeros" }))
    : x;
  const hidden = activate(act, linear(p, `${name}.linear_1`, sum, width));
  return seen(p, name, linear(p, `${name}.linear_2`, hidden, width, { init: last }));
}
