// Fréchet and kernel distance against the usual implementations' formulas in numpy and scipy, on features given by a rule.
//
//   import numpy as np, scipy.linalg as sl                                     # 2.4.6, 1.17.1
//   def features(n, d, a, b, c, scale, shift):
//     i, j = np.arange(n)[:, None].astype(float), np.arange(d)[None, :].astype(float)
//     h = (i*a*7919 + j*b*104729 + i*j*c*31) % 9973
//     return (scale*(h/9973 - 0.5) + shift*j/d).astype(np.float32).astype(np.float64)
//   def fid(x, y):                                                             # as in pytorch-fid
//     m1, m2, s1, s2 = x.mean(0), y.mean(0), np.cov(x, rowvar=False), np.cov(y, rowvar=False)
//     return ((m1-m2)**2).sum() + np.trace(s1) + np.trace(s2) - 2*np.trace(sl.sqrtm(s1@s2).real)
//   def kid(x, y):                                                             # one block of all
//     n, m, k = len(x), len(y), lambda a, b: (a@b.T/x.shape[1] + 1)**3
//     xx, yy = k(x, x), k(y, y)
//     return (xx.sum()-np.trace(xx))/(n*(n-1)) + (yy.sum()-np.trace(yy))/(m*(m-1)) - 2*k(x, y).mean()
//   x, y = features(n, d, 3, 5, 1, 2.0, 0.0), features(m, d, 7, 2, 3, 1.4, 0.3)
import { describe, expect, it } from "vitest";
import { frechetDistance } from "../../src/metrics/frechet.ts";
import { measure, type Rows, rows } from "../../src/metrics/metric.ts";
import { kid } from "../../src/metrics/mmd.ts";
import { addMoments, gaussianOf, noMoments } from "../../src/metrics/moments.ts";

interface Rule {
  readonly factors: readonly [number, number, number];
  readonly scale: number;
  readonly shift: number;
}
const [first, second]: Rule[] = [
  { factors: [3, 5, 1], scale: 2, shift: 0 },
  { factors: [7, 2, 3], scale: 1.4, shift: 0.3 },
];
const features = (n: number, d: number, { factors: [a, b, c], scale, shift }: Rule): Rows =>
  rows(
    Float32Array.from({ length: n * d }, (_, at) => {
      const [i, j] = [Math.floor(at / d), at % d];
      const h = (i * a * 7919 + j * b * 104729 + i * j * c * 31) % 9973;
      return scale * (h / 9973 - 0.5) + (shift * j) / d;
    }),
    d,
  );
const gaussian = (x: Rows) => gaussianOf(addMoments(noMoments(x.dim), x));

describe.each([
  { n: 500, m: 400, d: 32, fid: 2.0330491159779243, kernel: 0.08743888694370217 },
  { n: 180, m: 1000, d: 64, fid: 5.459777337066058, kernel: 0.08495326711843143 },
  // Fewer samples than features: one covariance is singular, where scipy's root is known to fewer digits.
  { n: 90, m: 40, d: 64, fid: 15.00518172362926, kernel: 0.08223849318540766 },
])("of $n and $m samples of $d features", ({ n, m, d, fid, kernel }) => {
  const [x, y] = [features(n, d, first), features(m, d, second)];

  it("the features are the same numbers", () => {
    expect(x.data[3 * d + 4]).toBe(-0.5824726819992065);
  });
  it("the Fréchet distance agrees", () => {
    const digits = m < d ? 4 : 9;
    expect(frechetDistance(gaussian(x), gaussian(y))).toBeCloseTo(fid, digits);
    expect(frechetDistance(gaussian(y), gaussian(x))).toBeCloseTo(fid, digits);
  });
  it("the kernel distance agrees, of one block", () => {
    expect(measure(kid({ reference: y, block: 1000 }), x).value).toBeCloseTo(kernel, 9);
  });
});
