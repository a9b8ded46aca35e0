// Float32 arithmetic and numpy's rules, where a last bit decides an integer timestep.

export const f32 = Math.fround;

/** numpy's round: halves to the even neighbor. */
export function roundHalfEven(x: number): number {
  const low = Math.floor(x);
  if (x - low !== 0.5) return Math.round(x);
  return low % 2 === 0 ? low : low + 1;
}

/** numpy's linspace in float64, both ends included (or not). */
export function linspace(start: number, stop: number, count: number, endpoint = true): number[] {
  const parts = endpoint ? count - 1 : count;
  const step = (stop - start) / parts;
  return Array.from({ length: count }, (_, i) =>
    endpoint && i === count - 1 && count > 1 ? stop : parts > 0 ? start + i * step : start,
  );
}

/** torch's linspace in float32: filled from both ends. */
export function linspace32(start: number, stop: number, count: number): number[] {
  const [a, b] = [f32(start), f32(stop)];
  if (count === 1) return [a];
  const step = f32(f32(b - a) / (count - 1));
  return Array.from({ length: count }, (_, i) => (i < count / 2 ? f32(a + step * i) : f32(b - step * (count - 1 - i))));
}

/** numpy's arange from `start` down to 0 (exclusive); its length may exceed start/step by rounding. */
export function fallingRange(start: number, step: number): number[] {
  const delta = start - step - start;
  return Array.from({ length: Math.ceil(start / step) }, (_, i) => start + i * delta);
}

/** numpy's interp at x on the knots 0, 1, ..., n - 1. */
export function interpolate(x: number, values: ArrayLike<number>): number {
  if (x <= 0) return values[0];
  if (x >= values.length - 1) return values[values.length - 1];
  const i = Math.floor(x);
  return values[i] + (values[i + 1] - values[i]) * (x - i);
}

/** a·b + c rounded once to float32 (the product of two float32 is exact in float64). */
const fma = (a: number, b: number, c: number): number => f32(a * b + c);

const numerator = [0, 1, 2.1126776, 1.4800006, 0.38088378, 0.025899792].map(f32);
const denominator = [1, 2.6126776, 2.453006, 0.9864943, 0.15464763, 0.0058750953].map(f32);
const horner = (c: readonly number[], x: number): number => c.reduceRight((sum, k) => fma(sum, x, k));

/**
 * numpy's logarithm of a float32: a rational approximation that is off by one bit now and then. An index found by
 * searching logarithms of sigmas depends on that bit, and so does the timestep it is truncated to.
 */
export function log32(x: number): number {
  let exponent = Math.floor(Math.log2(x)) + 1;
  let mantissa = x / 2 ** exponent;
  if (mantissa < f32(Math.SQRT1_2)) {
    mantissa *= 2;
    exponent--;
  }
  const z = f32(mantissa - 1);
  return fma(exponent, f32(Math.LN2), f32(horner(numerator, z) / horner(denominator, z)));
}
