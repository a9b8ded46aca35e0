import { describe, expect, it } from "vitest";
import { frechet, frechetDistance, frechetFloor } from "../../src/metrics/frechet.ts";
import { measure, rows } from "../../src/metrics/metric.ts";
import { addMoments, type Gaussian, gaussianOf, mergeMoments, noMoments } from "../../src/metrics/moments.ts";
import { eigenvalues, factor, product, transposed } from "../../src/metrics/symmetric.ts";
import { fold, key, normal, uniform } from "../../src/random.ts";

const exact = (mean: number[], covariance: number[]): Gaussian => ({
  n: Number.POSITIVE_INFINITY,
  mean: Float64Array.from(mean),
  covariance: Float64Array.from(covariance),
});

describe("Fréchet distance", () => {
  it("agrees with closed forms", () => {
    expect(frechetDistance(exact([0.5], [0.09]), exact([0.2], [0.25]))).toBeCloseTo(0.13, 12);
    const [a, b] = [exact([0, 0], [2, 0.5, 0.5, 1]), exact([1, -1], [1, -0.2, -0.2, 0.5])];
    expect(frechetDistance(a, b)).toBeCloseTo(2.4530575272, 9);
    expect(frechetDistance(b, a)).toBeCloseTo(2.4530575272, 9);
  });

  it("of commuting covariances is the sum over their axes, also where one is singular", () => {
    const variances = [
      [4, 1, 0, 0.25],
      [1, 9, 0, 0],
    ];
    const [a, b] = variances.map((v) => exact([0, 0, 0, 0], diagonal(v)));
    const turn = reflection(4);
    const turned = [a, b].map((g) => ({ ...g, covariance: product(product(turn, g.covariance, 4), turn, 4) }));
    expect(frechetDistance(a, b)).toBeCloseTo(1 + 4 + 0 + 0.25, 12);
    expect(frechetDistance(turned[0], turned[1])).toBeCloseTo(5.25, 6);
  });

  it("is zero from a Gaussian to itself", () => {
    const g = gaussianOf(addMoments(noMoments(8), rows(normal(key(3), 8 * 100), 8)));
    expect(Math.abs(frechetDistance(g, g))).toBeLessThan(1e-12);
  });

  it("refuses too few samples and flags few", () => {
    const reference = gaussianOf(addMoments(noMoments(16), rows(normal(key(0), 16 * 1000), 16)));
    const metric = frechet({ reference });
    const of = (n: number) => measure(metric, rows(normal(key(n), 16 * n), 16));
    expect(() => of(31)).toThrow(/16 dimensions cannot be estimated from 31 samples.*at least 32/);
    expect(of(32).notes[0]).toMatch(/Only 32 samples for 16 dimensions/);
    expect(of(160).notes).toEqual([]);
  });

  it("of equal distributions averages to the floor that it states", () => {
    const dim = 12;
    const draw = (n: number, index: number) => {
      const x = normal(fold(key(1), index), dim * n);
      for (let i = 0; i < x.length; i++) x[i] *= 0.2 + (i % dim);
      return rows(x, dim);
    };
    const truth = exact(Array(dim).fill(0), diagonal(Array.from({ length: dim }, (_, i) => (0.2 + i) ** 2)));
    const metric = frechet({ reference: truth });
    const values = Array.from({ length: 60 }, (_, i) => measure(metric, draw(400, i)).value);
    const mean = values.reduce((s, v) => s + v, 0) / values.length;
    const floor = frechetFloor(truth, 400);
    // Standard error of the mean of 60 runs is about 4 %; third-order terms add a percent.
    expect(mean / floor).toBeGreaterThan(0.85);
    expect(mean / floor).toBeLessThan(1.15);
    expect(measure(metric, draw(400, 0)).floor).toBeCloseTo(floor, 12);
  });
});

describe("moments", () => {
  it("keep their digits far from the origin, in batches of any size", () => {
    const [n, dim] = [301, 3];
    const offset = 2 ** 20;
    // Multiples of 2^-3, so that float32 holds the shifted values exactly.
    const base = uniform(key(5), n * dim).map((u) => Math.round(u * 64) / 8);
    const near = gaussianOf(addMoments(noMoments(dim), rows(Float32Array.from(base), dim)));
    const far = Float32Array.from(base, (x) => x + offset);
    let state = noMoments(dim);
    for (const [from, to] of [
      [0, 1],
      [1, 2],
      [2, 300],
      [300, 301],
    ])
      state = addMoments(state, rows(far.subarray(from * dim, to * dim), dim));
    const got = gaussianOf(state);
    near.covariance.forEach((c, i) => {
      expect(got.covariance[i]).toBeCloseTo(c, 8);
    });
    near.mean.forEach((m, i) => {
      expect(got.mean[i] - offset).toBeCloseTo(m, 8);
    });
  });

  it("merge to the moments of both, and an empty side changes nothing", () => {
    const x = normal(key(7), 50 * 4);
    const [a, b] = [x.subarray(0, 80), x.subarray(80)].map((part) => addMoments(noMoments(4), rows(part, 4)));
    const both = gaussianOf(addMoments(noMoments(4), rows(x, 4)));
    const merged = gaussianOf(mergeMoments(mergeMoments(noMoments(4), a), mergeMoments(b, noMoments(4))));
    both.covariance.forEach((c, i) => {
      expect(merged.covariance[i]).toBeCloseTo(c, 12);
    });
  });

  it("refuse samples that are not finite", () => {
    expect(() => addMoments(noMoments(1), rows(Float32Array.of(0, Number.NaN), 1))).toThrow(/NaN or infinity/);
  });
});

describe("symmetric matrices", () => {
  it("have the eigenvalues of the discrete Laplacian, turned", () => {
    for (const n of [1, 2, 3, 40]) {
      const a = new Float64Array(n * n);
      for (let i = 0; i < n; i++) {
        a[i * n + i] = 2;
        if (i > 0) a[i * n + i - 1] = a[(i - 1) * n + i] = -1;
      }
      const turn = reflection(n);
      eigenvalues(product(product(turn, a, n), turn, n), n).forEach((x, i) => {
        expect(x).toBeCloseTo(2 - 2 * Math.cos(((i + 1) * Math.PI) / (n + 1)), 12);
      });
    }
  });

  it("factor also where they are singular, and not where they are indefinite", () => {
    const [n, rank] = [6, 3];
    const x = Float64Array.from(normal(key(2), n * n), (v, i) => (i % n < rank ? v : 0));
    const a = product(x, transposed(x, n), n);
    const b = factor(a, n);
    product(b, transposed(b, n), n).forEach((v, i) => {
      expect(v).toBeCloseTo(a[i], 12);
    });
    expect(() => factor(Float64Array.of(1, 2, 2, 1), 2)).toThrow(/negative variance/);
  });
});

const diagonal = (values: readonly number[]): number[] =>
  values.flatMap((v, i) => values.map((_, j) => (i === j ? v : 0)));

/** An orthogonal symmetric matrix without zeros. */
function reflection(n: number): Float64Array {
  const u = Float64Array.from({ length: n }, (_, i) => Math.sin(3 * i + 1));
  const h = u.reduce((s, v) => s + v * v, 0);
  return Float64Array.from({ length: n * n }, (_, at) => {
    const [i, j] = [Math.floor(at / n), at % n];
    return (i === j ? 1 : 0) - (2 * u[i] * u[j]) / h;
  });
}
