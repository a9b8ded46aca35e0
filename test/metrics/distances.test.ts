import { describe, expect, it } from "vitest";
import { endpoint, endpointDistances, gap } from "../../src/metrics/endpoint.ts";
import { measure, type Rows, rows } from "../../src/metrics/metric.ts";
import { energyDistance, gaussianMmd, kid } from "../../src/metrics/mmd.ts";
import { neighborRadii, precision, recall } from "../../src/metrics/precisionRecall.ts";
import { directions, slicedWasserstein, wasserstein } from "../../src/metrics/slicedWasserstein.ts";
import { quantile95 } from "../../src/metrics/studentT.ts";
import { fold, type Key, key, normal } from "../../src/random.ts";

const gauss = (from: Key, n: number, dim: number, shift = 0, scale = 1): Rows =>
  rows(
    normal(from, n * dim).map((x) => scale * x + shift),
    dim,
  );

describe("kernel distances", () => {
  it("are unbiased: zero on average between equal distributions, and their intervals hold that", () => {
    const trials = 40;
    for (const metric of [kid, energyDistance, gaussianMmd]) {
      let [sum, squares, covered] = [0, 0, 0];
      for (let i = 0; i < trials; i++) {
        const [x, y] = ["x", "y"].map((side) => gauss(fold(key(i), side), 240, 3));
        const { value, interval } = measure(metric({ reference: y, block: 40 }), x);
        sum += value;
        squares += value * value;
        if (interval && interval[0] <= 0 && interval[1] >= 0) covered++;
      }
      const error = Math.sqrt(squares) / trials;
      expect(Math.abs(sum / trials)).toBeLessThan(3 * error);
      expect(covered).toBeGreaterThanOrEqual(0.8 * trials);
    }
  });

  it("of polynomials follow from moments: in one dimension E(xy + 1)^3 is known", () => {
    // k = 1 + 3xy + 3x²y² + x³y³, so MMD² = 3(Δm1)² + 3(Δm2)² + (Δm3)²; N(0,1) against N(0.5,1): 0.5, 0.25, 1.625.
    const expected = 3 * 0.5 ** 2 + 3 * 0.25 ** 2 + 1.625 ** 2;
    const metric = kid({ reference: gauss(key(1), 8000, 1), block: 200 });
    const { value, standardError = 0 } = measure(metric, gauss(key(2), 8000, 1, 0.5));
    expect(Math.abs(value - expected)).toBeLessThan(4 * standardError);
    expect(standardError).toBeLessThan(0.1 * expected);
  });

  it("of energy between two points s apart is 2s", () => {
    const pile = (at: number) => rows(new Float32Array(20).fill(at), 1);
    expect(measure(energyDistance({ reference: pile(0) }), pile(1.5)).value).toBeCloseTo(3, 12);
  });

  it("say when there are too few samples for an error", () => {
    const metric = kid({ reference: gauss(key(1), 100, 2), block: 60 });
    expect(measure(metric, gauss(key(2), 100, 2)).notes[0]).toMatch(/Only 1 of at least 10 blocks of 60 samples/);
    expect(() => measure(metric, gauss(key(2), 1, 2))).toThrow(/at least 2 samples/);
  });

  it("have Student's quantiles", () => {
    const known = [
      [1, 12.7062],
      [4, 2.7764],
      [10, 2.2281],
      [100, 1.984],
    ];
    for (const [degrees, value] of known) expect(quantile95(degrees) / value).toBeCloseTo(1, 2);
  });
});

describe("precision and recall", () => {
  const line = (...x: number[]) => rows(Float32Array.from(x), 1);

  it("reach to the k-th neighbor", () => {
    expect([...neighborRadii(line(0, 1, 3, 7), 1)]).toEqual([1, 1, 4, 16]);
    expect([...neighborRadii(line(0, 1, 3, 7), 3)]).toEqual([49, 36, 16, 49]);
    expect(() => neighborRadii(line(0, 1, 3), 3)).toThrow(/more than 3 samples/);
  });

  it("of known sets", () => {
    const reference = line(0, 1, 2, 3, 10, 11, 12, 13);
    const options = { reference, neighbor: 1 };
    // All on the first cluster: everything looks real, half of the data is reached.
    expect(measure(precision(options), line(0, 1, 2, 3)).value).toBe(1);
    expect(measure(recall(options), line(0, 1, 2, 3)).value).toBe(0.5);
    // Half of the samples far from the data.
    expect(measure(precision(options), line(0, 1, 30, 31)).value).toBe(0.5);
    expect(measure(recall(options), line(0, 1, 30, 31)).value).toBe(3 / 8);
    expect(measure(precision(options), reference).value).toBe(1);
    expect(measure(recall(options), reference).value).toBe(1);
  });
});

describe("Wasserstein distances", () => {
  it("in one dimension agree with sorting, also for unequal counts", () => {
    expect(wasserstein(Float64Array.of(3, 0), Float64Array.of(1, 2), 1)).toBeCloseTo(1, 12);
    expect(wasserstein(Float64Array.of(3, 0), Float64Array.of(1, 2), 2)).toBeCloseTo(1, 12);
    expect(wasserstein(Float64Array.of(0), Float64Array.of(1, 2, 3), 1)).toBeCloseTo(2, 12);
    // Quantiles 0|0|3|3 against 1|1|1|2 with the weights 1/3, 1/6, 1/6, 1/3.
    expect(wasserstein(Float64Array.of(0, 3), Float64Array.of(1, 1, 2), 2)).toBeCloseTo((1 + 0.5 + 2 + 1) / 3, 12);
    expect(() => wasserstein(Float64Array.of(), Float64Array.of(1), 1)).toThrow(/samples on both sides/);
  });

  it("of a shift is its length over √dim", () => {
    for (const dim of [1, 2, 64]) {
      const x = gauss(key(4), 50, dim);
      const moved = rows(
        x.data.map((v, i) => v + (i % dim === 0 ? 2 : 0)),
        dim,
      );
      const { value } = measure(slicedWasserstein({ reference: x, key: key(0) }), moved);
      // float32 sums; orthogonal directions make the mean over them exact.
      expect(value).toBeCloseTo(2 / Math.sqrt(dim), 5);
    }
  });

  it("between N(0, 1) and N(0, 4) approaches 1", () => {
    const metric = slicedWasserstein({ reference: gauss(key(5), 4000, 2), key: key(0) });
    expect(Math.abs(measure(metric, gauss(key(6), 4000, 2, 0, 2)).value - 1)).toBeLessThan(0.05);
  });

  it("take unit directions that are orthogonal in runs", () => {
    const axes = directions(key(3), 3, 5);
    const dot = (a: number, b: number) => [0, 1, 2].reduce((s, k) => s + axes[a * 3 + k] * axes[b * 3 + k], 0);
    expect(dot(0, 0)).toBeCloseTo(1, 12);
    expect(dot(4, 4)).toBeCloseTo(1, 12);
    expect(dot(0, 2)).toBeCloseTo(0, 12);
    expect(() => slicedWasserstein({ reference: gauss(key(0), 4, 2), key: key(0), projections: 64 })).toThrow(/256/);
  });
});

describe("endpoint distance", () => {
  const theirs = gauss(key(7), 2000, 5, 3, 2);

  it("of a constant difference is that difference, and a known share of the variance", () => {
    const ours = rows(
      theirs.data.map((x, i) => x + (i % 2 ? 0.5 : -0.5)),
      5,
    );
    const pairs = { ours, theirs };
    expect(measure(endpoint(5), pairs).value).toBeCloseTo(0.5, 5);
    expect(measure(gap(5), pairs).value).toBeCloseTo(0.25 / 4, 2);
    for (const d of endpointDistances(pairs)) expect(d).toBeCloseTo(0.5, 5);
  });

  it("of independent sets has a gap of 2, within its error", () => {
    const { value, standardError = 0 } = measure(gap(5), { ours: gauss(key(8), 2000, 5, 3, 2), theirs });
    expect(Math.abs(value - 2)).toBeLessThan(4 * standardError);
    expect(standardError).toBeLessThan(0.05);
  });

  it("refuses what is not paired, and references without variance", () => {
    expect(() => endpointDistances({ ours: gauss(key(0), 3, 5), theirs })).toThrow(/3 samples against 2000/);
    const flat = rows(new Float32Array(10), 5);
    expect(() => measure(gap(5), { ours: flat, theirs: flat })).toThrow(/need/);
  });
});
