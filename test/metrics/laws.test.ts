// What every metric promises: the declared direction, streams equal to batches, untouched states, no order.
import { describe, expect, it } from "vitest";
import { type Endpoints, endpoint, gap } from "../../src/metrics/endpoint.ts";
import { frechet } from "../../src/metrics/frechet.ts";
import { type Measured, type Metric, measure, type Rows, rows } from "../../src/metrics/metric.ts";
import { energyDistance, gaussianMmd, kid } from "../../src/metrics/mmd.ts";
import { addMoments, gaussianOf, noMoments } from "../../src/metrics/moments.ts";
import { precision, recall } from "../../src/metrics/precisionRecall.ts";
import { slicedWasserstein } from "../../src/metrics/slicedWasserstein.ts";
import { fold, key, normal, permutation } from "../../src/random.ts";

const [n, dim] = [240, 4];
const draw = (name: string, shift = 0, scale = 1): Rows =>
  rows(
    normal(fold(key(0), name), n * dim).map((x) => scale * x + shift),
    dim,
  );
const reference = draw("reference");
const one = { reference, block: n };
const paired = (ours: Rows): Endpoints => ({ ours, theirs: reference });

/** Each metric as one of plain rows; */
const metrics: readonly { metric: Metric; worse: Rows }[] = [
  { metric: frechet({ reference: gaussianOf(addMoments(noMoments(dim), reference)) }), worse: draw("worse", 1) },
  { metric: kid(one), worse: draw("worse", 1) },
  { metric: energyDistance(one), worse: draw("worse", 1) },
  { metric: gaussianMmd(one), worse: draw("worse", 1) },
  { metric: precision({ reference }), worse: draw("worse", 1) },
  { metric: recall({ reference }), worse: draw("worse", 0, 0.2) },
  { metric: slicedWasserstein({ reference, key: key(1) }), worse: draw("worse", 1) },
];

for (const { metric, worse } of metrics) {
  const better = draw("better");
  describe(metric.name, () => {
    it("is better in the declared direction", () => {
      const [good, bad] = [measure(metric, better).value, measure(metric, worse).value];
      if (metric.better === "lower") expect(good).toBeLessThan(bad);
      else expect(good).toBeGreaterThan(bad);
    });

    it("of a stream is that of the batch", () => {
      const streamed = cut(better, [0, 1, 100, n]).reduce((state, part) => metric.add(state, part), metric.init());
      expectSame(metric.value(streamed), measure(metric, better));
    });

    it("leaves the state it is given as it was", () => {
      const before = metric.add(metric.init(), better);
      const value = metric.value(before);
      metric.add(before, worse);
      expect(metric.value(before)).toEqual(value);
      expect(() => metric.value(metric.init())).toThrow(RangeError);
    });

    it("does not depend on the order of the samples", () => {
      expectSame(measure(metric, reordered(better)), measure(metric, better));
    });

    it("refuses another dimension", () => {
      expect(() => metric.add(metric.init(), rows(new Float32Array(6), 3))).toThrow(/dimension 3, expected 4/);
    });
  });
}

for (const metric of [endpoint(dim), gap(dim)])
  describe(metric.name, () => {
    const [near, far] = [draw("noise", 0, 0.1), draw("noise", 0, 0.5)].map((noise) =>
      paired(
        rows(
          noise.data.map((x, i) => x + reference.data[i]),
          dim,
        ),
      ),
    );
    const of = (pairs: Endpoints) => measure(metric, pairs);

    it("is better in the declared direction", () => {
      expect(metric.better).toBe("lower");
      expect(of(near).value).toBeLessThan(of(far).value);
    });

    it("of a stream is that of the batch, in any order of the pairs", () => {
      const [ours, theirs] = [near.ours, near.theirs].map((x) => cut(x, [0, 1, 100, n]));
      const streamed = ours.reduce(
        (state, part, i) => metric.add(state, { ours: part, theirs: theirs[i] }),
        metric.init(),
      );
      expectSame(metric.value(streamed), of(near));
      expectSame(of({ ours: reordered(near.ours), theirs: reordered(near.theirs) }), of(near));
    });

    it("does depend on which sample is paired with which", () => {
      expect(of({ ...near, ours: reordered(near.ours) }).value).toBeGreaterThan(3 * of(near).value);
    });

    it("leaves the state it is given as it was", () => {
      const before = metric.add(metric.init(), near);
      const value = metric.value(before);
      metric.add(before, far);
      expect(metric.value(before)).toEqual(value);
      expect(() => metric.value(metric.init())).toThrow(RangeError);
    });
  });

function cut(x: Rows, edges: readonly number[]): Rows[] {
  return edges.slice(1).map((to, i) => rows(x.data.subarray(edges[i] * x.dim, to * x.dim), x.dim));
}

function reordered(x: Rows): Rows {
  const order = permutation(key(9), x.n);
  const data = new Float32Array(x.data.length);
  order.forEach((from, to) => {
    data.set(x.data.subarray(from * x.dim, (from + 1) * x.dim), to * x.dim);
  });
  return { ...x, data };
}

function expectSame(a: Measured, b: Measured): void {
  expect(a.n).toBe(b.n);
  expect(a.value).toBeCloseTo(b.value, 10);
  if (b.standardError !== undefined) expect(a.standardError).toBeCloseTo(b.standardError, 10);
}
