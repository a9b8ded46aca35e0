// Embeddings of time and other scalars.
import { add, concat, constant, cos, log, mul, pad, reshape, sin, stopGradient, type Tensor } from "../graph/index.ts";
import { type ActivationName, activate } from "./activations.ts";
import { linear } from "./layers.ts";
import { type Params, seen } from "./params.ts";

export interface SinusoidOptions {
  /** [cos | sin] instead of [sin | cos]. */
  readonly flipSinToCos?: boolean;
  /** diffusers' downscale_freq_shift: frequencies are exp(-ln(10000) i / (half - shift)). */
  readonly freqShift?: number;
}

/**
 * Sinusoidal embedding of x [B], on the scale 0 to 1000, to [B, width] (Ho et al. 2020; Vaswani et al. 2017, 3.5).
 * Every step of the frequencies is rounded to float32, as in PyTorch: at x = 999 float64 would differ by 5e-5.
 */
export function sinusoid(x: Tensor, width: number, options: SinusoidOptions = {}): Tensor {
  const { flipSinToCos = true, freqShift = 0 } = options;
  const half = Math.floor(width / 2);
  const rate = Math.fround(-Math.log(10000));
  const frequencies = Float32Array.from({ length: half }, (_, i) =>
    Math.exp(Math.fround(Math.fround(rate * i) / Math.fround(half - freqShift))),
  );
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
}

/** diffusers' TimestepEmbedding: linear_1, activation, linear_2. x [B, in] to [B, width]. */
export function timestepMlp(
  p: Params,
  name: string,
  x: Tensor,
  width: number,
  options: TimestepMlpOptions = {},
): Tensor {
  const { act = "silu", condition } = options;
  const sum = condition ? add(x, linear(p, `${name}.cond_proj`, condition, x.shape[1], { bias: false })) : x;
  const hidden = activate(act, linear(p, `${name}.linear_1`, sum, width));
  return seen(p, name, linear(p, `${name}.linear_2`, hidden, width));
}
