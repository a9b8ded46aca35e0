// Student's t distribution, as far as a 95 % interval needs it.

const exact = [12.706205, 4.302653, 3.182446];

/** The 97.5 % quantile, to 0.3 % or better (Cornish-Fisher expansion, Abramowitz & Stegun 26.7.5, from 4 degrees on). */
export function quantile95(degrees: number): number {
  if (degrees < 1) throw new RangeError(`Student's t has ${degrees} degrees of freedom, expected at least 1.`);
  if (degrees <= exact.length) return exact[degrees - 1];
  const z = 1.959963985;
  const g1 = (z ** 3 + z) / 4;
  const g2 = (5 * z ** 5 + 16 * z ** 3 + 3 * z) / 96;
  const g3 = (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / 384;
  return z + g1 / degrees + g2 / degrees ** 2 + g3 / degrees ** 3;
}
