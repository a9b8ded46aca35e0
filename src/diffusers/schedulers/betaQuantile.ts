// Quantile function of the symmetric beta distribution, for "beta" sigmas.

/** q with I_q(a, a) = p, by bisection on the regularized incomplete beta function. */
export function betaQuantile(p: number, a: number): number {
  if (p <= 0) return 0;
  if (p >= 1) return 1;
  if (p > 0.5) return 1 - betaQuantile(1 - p, a);
  let [low, high] = [0, 0.5];
  for (let i = 0; i < 200 && high - low > 1e-17 * high; i++) {
    const middle = (low + high) / 2;
    if (incompleteBeta(middle, a) < p) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** I_x(a, a) for x <= 1/2, by its continued fraction (Numerical Recipes, 6.4). */
function incompleteBeta(x: number, a: number): number {
  const front =
    Math.exp(2 * a === 0 ? 0 : logGamma(2 * a) - 2 * logGamma(a) + a * Math.log(x) + a * Math.log1p(-x)) / a;
  let fraction = 1;
  let c = 1;
  let d = 1 / (1 - (2 * a * x) / (a + 1));
  fraction = d;
  for (let m = 1; m <= 300; m++) {
    const even = (m * (a - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / (1 + even * d);
    c = 1 + even / c;
    fraction *= c * d;
    const odd = (-(a + m) * (2 * a + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / (1 + odd * d);
    c = 1 + odd / c;
    fraction *= c * d;
    if (Math.abs(c * d - 1) < 1e-16) break;
  }
  return front * fraction;
}

/** ln Γ(x) for x > 0 (Stirling's series after shifting up). */
function logGamma(x: number): number {
  let shift = 0;
  let z = x;
  while (z < 15) {
    shift += Math.log(z);
    z++;
  }
  const i2 = 1 / (z * z);
  const series = (1 / 12 - i2 * (1 / 360 - i2 * (1 / 1260 - i2 * (1 / 1680 - i2 / 1188)))) / z;
  return (z - 0.5) * Math.log(z) - z + 0.5 * Math.log(2 * Math.PI) + series - shift;
}
