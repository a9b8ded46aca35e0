// Conditions in the draws of a step: whole, dropped sample by sample, dropped together.

import { describe, expect, it } from "vitest";
import { type Column, type Columns, labelColumn, numberColumn } from "../src/condition.ts";
import { type Batch, type DataColumns, drawsOf, type HostDraws, type StepKey } from "../src/draws.ts";
import type { Tensor } from "../src/graph/index.ts";
import { fold, key, uniform } from "../src/random.ts";

const nameOf = ({ source }: Tensor) => {
  if (source.kind !== "input") throw new Error("Expected an input.");
  return source.name;
};
const root = key(7);
const at = (step: number): StepKey => ({ root, step });
/** What a tensor that was asked for is fed. */
const fedOf = (draws: HostDraws, x: Tensor, step = 1, batch: Batch = {}, drop = 0) =>
  draws.feeds(at(step), batch, drop)[nameOf(x)];
const mean = (x: readonly number[]) => x.reduce((a, b) => a + b, 0) / x.length;

describe("conditions", () => {
  const text: Column = {
    shape: [3, 4],
    dtype: "float32",
    given: "data",
    none: Float32Array.from({ length: 12 }, (_, i) => -1 - i),
  };
  const kept: Column = { shape: [2], dtype: "float32", given: "data" };
  const tokens: Column = { shape: [2], dtype: "int64", given: "data", none: BigInt64Array.of(-1n, -2n) };
  const conditions: Columns = { labels: labelColumn(5), text, kept, span: numberColumn(0) };
  const shapes: DataColumns = Object.fromEntries(
    ["", "pair_"].flatMap((prefix) =>
      Object.entries({ labels: conditions.labels, text, kept }).map(([name, { shape, dtype }]) => [
        `${prefix}${name}`,
        { shape, dtype },
      ]),
    ),
  );
  const B = 64;
  const batchOf = (prefix: string): Batch => ({
    [`${prefix}labels`]: new BigInt64Array(B).fill(1n),
    [`${prefix}text`]: Float32Array.from({ length: 12 * B }, (_, i) => i),
    [`${prefix}kept`]: new Float32Array(2 * B).fill(9),
  });
  /** Which samples have nothing given, by column; each row is checked to be one or the other, whole. */
  function dropped(draws: HostDraws, cond: Readonly<Record<string, Tensor>>, prefix = "", step = 1, share = 0.5) {
    const batch = batchOf(prefix);
    const feeds = draws.feeds(at(step), batch, share);
    const rows = (x: Tensor, none: ArrayLike<number | bigint>, given: ArrayLike<number | bigint>) => {
      const found = feeds[nameOf(x)];
      const size = none.length;
      return Array.from({ length: B }, (_, i) => {
        const row = [...found.slice(i * size, (i + 1) * size)];
        const whole = [...Array.from(given).slice(i * size, (i + 1) * size)];
        const left = JSON.stringify(row.map(String)) === JSON.stringify(Array.from(none).map(String));
        if (!left) expect(row).toEqual(whole);
        return left;
      });
    };
    return {
      labels: rows(cond.labels, [4n], batch[`${prefix}labels`] as BigInt64Array),
      text: rows(cond.text, text.none as Float32Array, batch[`${prefix}text`] as Float32Array),
    };
  }
  const share = (x: readonly boolean[]) => x.filter(Boolean).length / x.length;

  it("of a sample are dropped together, each by its own value for none", () => {
    const draws = drawsOf(B, [2], conditions, shapes);
    const cond = draws.cond("dropped");
    expect(Object.keys(cond)).toEqual(["labels", "text", "kept"]);
    expect(cond.text.shape).toEqual([B, 3, 4]);
    const shares: number[] = [];
    for (let step = 1; step <= 20; step++) {
      const { labels, text: texts } = dropped(draws, cond, "", step, 0.3);
      expect(texts).toEqual(labels);
      shares.push(share(labels));
    }
    // 1280 draws: three standard deviations are 0.038.
    expect(Math.abs(mean(shares) - 0.3)).toBeLessThan(0.038);
    expect(new Set(shares).size).toBeGreaterThan(3);
    expect(share(dropped(draws, cond, "", 1, 0).labels)).toBe(0);
    expect(share(dropped(draws, cond, "", 1, 1).labels)).toBe(1);
  });

  it('are left whole by "full", and those without a none always; the batch is not written to', () => {
    const draws = drawsOf(B, [2], conditions, shapes);
    const [full, some] = [draws.cond("full"), draws.cond("dropped")];
    expect(some.kept).toBe(full.kept);
    const batch = batchOf("");
    const feeds = draws.feeds(at(1), batch, 1);
    for (const name of ["labels", "text", "kept"]) expect(feeds[nameOf(full[name])]).toBe(batch[name]);
    expect(batch).toEqual(batchOf(""));
  });

  it("dropped together: of all samples of a step or of none", () => {
    const draws = drawsOf(B, [2], conditions, shapes);
    const cond = draws.cond("dropped-together");
    const steps = Array.from({ length: 60 }, (_, i) => {
      const { labels, text: texts } = dropped(draws, cond, "", i + 1, 0.5);
      expect(texts).toEqual(labels);
      expect([0, 1]).toContain(share(labels));
      return share(labels);
    });
    // 60 steps: three standard deviations are 0.19.
    expect(Math.abs(mean(steps) - 0.5)).toBeLessThan(0.2);
  });

  it("are dropped by numbers of the step that are their own, each kind and source by others", () => {
    const draws = drawsOf(B, [2], conditions, shapes);
    const asked = [
      ["drop", draws.cond("dropped"), ""],
      ["drop pair_", draws.cond("dropped", "pair_"), "pair_"],
      ["drop together", draws.cond("dropped-together"), ""],
    ] as const;
    for (const [name, cond, prefix] of asked) {
      const both = { ...batchOf(""), ...batchOf("pair_") };
      for (const step of [1, 2, 3]) {
        const labels = draws.feeds(at(step), both, 0.5)[nameOf(cond.labels)];
        const q = uniform(fold(root, name, step), name === "drop together" ? 1 : B);
        const left = Array.from({ length: B }, (_, i) => q[q.length === 1 ? 0 : i] < 0.5);
        expect([prefix, ...labels]).toEqual([prefix, ...left.map((none) => (none ? 4n : 1n))]);
      }
    }
  });

  it("of several whole numbers are dropped by all of them", () => {
    const draws = drawsOf(3, [2], { tokens }, { tokens: { shape: [2], dtype: "int64" } });
    const { tokens: asked } = draws.cond("dropped");
    expect([...fedOf(draws, asked, 1, { tokens: BigInt64Array.of(1n, 2n, 3n, 4n, 5n, 6n) }, 1)]).toEqual([
      -1n,
      -2n,
      -1n,
      -2n,
      -1n,
      -2n,
    ]);
  });

  it("of two sources are told apart by their prefix, and dropped apart", () => {
    const draws = drawsOf(B, [2], conditions, shapes);
    const [own, pairs] = [draws.cond("dropped"), draws.cond("dropped", "pair_")];
    expect(pairs.labels).not.toBe(own.labels);
    expect(draws.cond("full", "pair_").labels).toBe(draws.data("pair_labels"));
    const both = { ...batchOf(""), ...batchOf("pair_") };
    const feeds = draws.feeds(at(1), both, 0.5);
    const left = [own, pairs].map((cond) => Array.from(feeds[nameOf(cond.labels)] as BigInt64Array));
    for (const labels of left) expect(new Set(labels)).toEqual(new Set([1n, 4n]));
    expect(left[0]).not.toEqual(left[1]);
  });

  it("and data that are missing are a sentence: in the source, and in a batch", () => {
    const draws = drawsOf(B, [2], conditions, { labels: shapes.labels });
    expect(() => draws.cond("full")).toThrow(new RangeError('This step needs "text" of its data, which has: labels.'));
    expect(() => drawsOf(B, [2], {}, {}).data("x")).toThrow(
      new RangeError('This step needs "x" of its data, which has: nothing.'),
    );
    expect(() => drawsOf(B, [2], {}, { a: shapes.text, b: shapes.text }).data("x")).toThrow("data, which has: a, b.");
    const whole = drawsOf(B, [2], conditions, shapes);
    whole.cond("dropped");
    const { text: _, ...rest } = batchOf("");
    expect(() => whole.feeds(at(4), rest, 0)).toThrow(new RangeError('The batch of step 4 has no "text".'));
  });
});
