// Gauss-Legendre quadrature with 32 points.

const count = 32;

/** Nodes and weights on [-1, 1], by Newton's method on the Legendre polynomial. */
const rule: readonly (readonly [node: number, weight: number])[] = Array.from({ length: count }, (_, i) => {
  let x = Math.cos((Math.PI * (i + 0.75)) / (count + 0.5));
  let slope = 0;
  for (let iteration = 0; iteration < 100; iteration++) {
    let [previous, value] = [1, x];
    for (let n = 2; n <= count; n++) [previous, value] = [value, ((2 * n - 1) * x * value - (n - 1) * previous) / n];
    slope = (count * (x * value - previous)) / (x * x - 1);
    const change = value / slope;
    x -= change;
    if (Math.abs(change) < 1e-15) break;
  }
  return [x, 2 / ((1 - x * x) * slope * slope)];
});

/** ∫ f from a to b, exact for polynomials up to degree 63. */
export function gaussLegendre(f: (x: number) => number, a: number, b: number): number {
  const [middle, half] = [(a + b) / 2, (b - a) / 2];
  return half * rule.reduce((sum, [node, weight]) => sum + weight * f(middle + half * node), 0);
}
