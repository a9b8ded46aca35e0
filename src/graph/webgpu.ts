// What ONNX Runtime's WebGPU kernels lack or get wrong (1.30), from operators that they have.

import { type Emitter, type OnnxAttr, onnxType } from "./emitter.ts";

const scalar = (to: Emitter, x: number): string => to.floats([x], []);

/** There is no kernel for Sign: (x > 0) − (x < 0). */
export function emitSign(to: Emitter, x: string): string {
  const test = (comparison: string) =>
    to.op("Cast", [to.op(comparison, [x, scalar(to, 0)])], { to: onnxType("float32", to.device) });
  return to.op("Sub", [test("Greater"), test("Less")]);
}

/** π as 3 + 9/64 + a small rest: products of the first two with whole and half numbers up to 2¹⁴ are exact. */
const PI_PARTS = [3, 9 / 64, Math.PI - 3 - 9 / 64];
/** Taylor's series of sin r / r in r², whose error is below 6e-8 for |r| ≤ π/2. */
const SINE = [1, -1 / 6, 1 / 120, -1 / 5040, 1 / 362880, -1 / 39916800];

/**
 * Sine or cosine. WGSL allows an error of 2⁻¹¹ between −π and π and any error outside, which embeddings of times up to
 * 1000 cannot bear. With x = kπ + r, where k is whole for the sine and half-way between for the cosine, both are
 * ±sin r with |r| ≤ π/2.
 */
export function emitSine(to: Emitter, x: string, phase: 0 | 0.5): string {
  const turns = to.op("Mul", [x, scalar(to, 1 / Math.PI)]);
  const whole = to.op("Floor", [phase === 0 ? to.op("Add", [turns, scalar(to, 0.5)]) : turns]);
  const k = phase === 0 ? whole : to.op("Add", [whole, scalar(to, phase)]);
  const r = PI_PARTS.reduce((rest, part) => to.op("Sub", [rest, to.op("Mul", [k, scalar(to, part)])]), x);
  const squared = to.op("Mul", [r, r]);
  const series = SINE.slice(0, -1).reduceRight(
    (sum, c) => to.op("Add", [to.op("Mul", [sum, squared]), scalar(to, c)]),
    scalar(to, SINE[SINE.length - 1]),
  );
  // 1 for an even number of half turns, −1 for an odd one; the cosine has the opposite sign.
  const halves = to.op("Mul", [whole, scalar(to, 0.5)]);
  const odd = to.op("Sub", [halves, to.op("Floor", [halves])]);
  const [slope, offset] = phase === 0 ? [-4, 1] : [4, -1];
  const sign = to.op("Add", [to.op("Mul", [odd, scalar(to, slope)]), scalar(to, offset)]);
  return to.op("Mul", [sign, to.op("Mul", [r, series])]);
}

/**
 * Conv with one group, x [N, c, H, W] and w [o, c, kh, kw]. The kernel's result is wrong for c divisible by 3 but not
 * by 4, other than 3, where 4 divides o (as compared with the CPU for c ≤ 32, o ≤ 20): there zeros fill up c.
 */
export function emitPaddedConv(
  to: Emitter,
  [x, w, ...bias]: readonly string[],
  attrs: Readonly<Record<string, OnnxAttr>>,
  [o, c]: readonly number[],
): string {
  if (c <= 3 || c % 3 !== 0 || c % 4 === 0 || o % 4 !== 0) return to.op("Conv", [x, w, ...bias], attrs);
  const pad = (t: string) => to.op("Pad", [t, to.ints([0, 0, 0, 0, 0, 4 - (c % 4), 0, 0])]);
  return to.op("Conv", [pad(x), pad(w), ...bias], attrs);
}
