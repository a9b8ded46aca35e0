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
