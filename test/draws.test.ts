// What steps are fed: the same name is the same tensor, and what its numbers are.

import { describe, expect, it } from "vitest";
import { labelColumn } from "../src/condition.ts";
import { type Batch, drawsOf, type HostDraws, type StepKey } from "../src/draws.ts";
import type { Tensor } from "../src/graph/index.ts";
import { fold, key, normal, uniform } from "../src/random.ts";

const nameOf = ({ source }: Tensor) => {
  if (source.kind !== "input") throw new Error("Expected an input.");
  return source.name;
};
const root = key(7);
const at = (step: number): StepKey => ({ root, step });
const identity = (q: number) => q;
const plain = (batch: number) => drawsOf(batch, [2], {}, { x: { shape: [2], dtype: "float32" } });
/** What a tensor that was asked for is fed. */
const fedOf = (draws: HostDraws, x: Tensor, step = 1, batch: Batch = {}, drop = 0) =>
  draws.feeds(at(step), batch, drop)[nameOf(x)];
const numbers = (...given: Parameters<typeof fedOf>) => [...(fedOf(...given) as Float32Array)];
const mean = (x: readonly number[]) => x.reduce((a, b) => a + b, 0) / x.length;
function correlation(a: readonly number[], b: readonly number[]): number {
  const [ma, mb] = [mean(a), mean(b)];
  const covariance = (p: readonly number[], mp: number, q: readonly number[], mq: number) =>
    mean(p.map((x, i) => (x - mp) * (q[i] - mq)));
  return covariance(a, ma, b, mb) / Math.sqrt(covariance(a, ma, a, ma) * covariance(b, mb, b, mb));
}

describe("names", () => {
  it("the same name is the same tensor, another name another", () => {
    const draws = drawsOf(
      4,
      [2],
      { labels: labelColumn(3) },
      {
        x: { shape: [2], dtype: "float32" },
        labels: { shape: [], dtype: "int64" },
      },
    );
    const { normal, data, clock, cond, ramp, number } = draws;
    expect(data("x")).toBe(data("x"));
    expect(normal("a")).toBe(normal("a"));
    expect(normal("a")).not.toBe(normal("b"));
    expect(clock("t", identity)).toBe(clock("t", identity));
    expect(clock("t", identity)).not.toBe(clock("s", identity));
    expect(cond("dropped").labels).toBe(cond("dropped").labels);
    expect(cond("full").labels).toBe(data("labels"));
    expect(new Set([cond("full"), cond("dropped"), cond("dropped-together")].map((c) => c.labels)).size).toBe(3);
    expect(number("w", identity)).toBe(number("w", identity));
    expect(number("w", identity)).not.toBe(number("v", identity));
    expect(ramp(5)).toBe(ramp(5));
    expect(ramp(5)).not.toBe(ramp(6));
    expect([draws.batch, draws.sampleShape]).toEqual([4, [2]]);
    // The first law of a name is its law.
    const t = clock("t", () => 9);
    expect(
      numbers(draws, t.column(identity, 1), 1, { x: new Float32Array(8), labels: new BigInt64Array(4) })[3],
    ).toBeLessThan(1);
  });

  it("shared things are made once, notes are kept by name and given back", () => {
    const draws = plain(2);
    let made = 0;
    const make = () => ({ made: ++made });
    expect(draws.share("fake", make)).toBe(draws.share("fake", make));
    expect(draws.share("other", () => undefined)).toBe(draws.share("other", () => make()));
    expect(made).toBe(1);
    const x = draws.data("x");
    expect(draws.note("seen", x)).toBe(x);
    expect([...draws.notes]).toEqual([["seen", x]]);
  });
});

describe("times", () => {
  it("of every name cover their law evenly, moved together, anew each step", () => {
    const draws = plain(8);
    const law = (q: number) => 10 * q;
    const columns = ["t", "s"].map((name) => draws.clock(name, law).column(identity, 1));
    const offsets = new Set<number>();
    for (let step = 1; step <= 20; step++)
      for (const column of columns) {
        const found = numbers(draws, column, step).sort((a, b) => a - b);
        expect(found).toEqual(found.map((_, k) => expect.closeTo(found[0] + (10 * k) / 8, 5)));
        expect(found[0]).toBeGreaterThanOrEqual(0);
        expect(found[0]).toBeLessThan(10 / 8);
        offsets.add(found[0]);
      }
    expect(offsets.size).toBe(40);
  });

  it("of two laws are independent, and a number of both", () => {
    const draws = plain(500);
    const columns = [
      draws.clock("t", identity).column(identity, 1),
      draws.clock("s", identity).column(identity, 1),
      draws.clock("r", identity).column(identity, 1),
      draws.number("w", identity),
    ];
    const values = columns.map((column) => [1, 2, 3, 4].flatMap((step) => numbers(draws, column, step)));
    // 2000 draws: three standard deviations are 0.067.
    values.forEach((a, i) => {
      for (const b of values.slice(0, i)) expect(Math.abs(correlation(a, b))).toBeLessThan(0.067);
    });
    expect(numbers(draws, columns[1], 1)).not.toEqual(numbers(draws, columns[2], 1));
  });

  it("after others see the time of their own sample", () => {
    const draws = plain(16);
    const t = draws.clock("t", (q) => 1 + q);
    const seen: [number, number][] = [];
    const s = draws.clockAfter("s", t, (q, time) => {
      seen.push([q, time]);
      return time / 2 + q / 100;
    });
    const r = draws.clockAfter(
      "r",
      s.at((x) => -x),
      (_, time) => time,
    );
    const columns = [t, s, r].map((clock) => clock.column(identity, 1));
    const feeds = draws.feeds(at(3), {}, 0);
    const [ts, ss, rs] = columns.map((column) => [...(feeds[nameOf(column)] as Float32Array)]);
    expect(ts).toEqual(seen.map(([, time]) => expect.closeTo(time, 6)));
    expect(ss).toEqual(ts.map((time, i) => expect.closeTo(time / 2 + seen[i][0] / 100, 6)));
    expect(rs).toEqual(ss.map((x) => expect.closeTo(-x, 6)));
    const qs = seen.map(([q]) => q).sort((a, b) => a - b);
    expect(qs.map((q) => Math.floor(16 * q))).toEqual([...qs.keys()]);
  });
});

it("numbers follow their own law, one per sample", () => {
  const draws = plain(8);
  const w = draws.number("w", (q) => 2 + 6 * q);
  expect(w.shape).toEqual([8]);
  const found = numbers(draws, w).sort((a, b) => a - b);
  expect(found.map((x) => Math.floor(((x - 2) / 6) * 8))).toEqual([...found.keys()]);
  expect(numbers(draws, w, 2).sort((a, b) => a - b)).not.toEqual(found);
});

it("times of other names and numbers have offsets of their own, and an order", () => {
  const draws = plain(4);
  const offsets = ["t", "s", "r"].map((name) => {
    const found = numbers(draws, draws.clock(name, identity).column(identity, 1));
    const [first] = uniform(fold(root, name === "t" ? "time" : `time ${name}`, 1), 1);
    expect([...found].sort((a, b) => a - b)).toEqual([0, 1, 2, 3].map((k) => expect.closeTo((k + first) / 4, 6)));
    return first;
  });
  expect(new Set(offsets).size).toBe(3);
});

describe("noise", () => {
  it("is standard normal in the shape asked for, another by step, name and seed", () => {
    const draws = plain(500);
    const [a, b, wide] = [draws.normal("a"), draws.normal("b"), draws.normal("wide", [3, 2])];
    expect([a.shape, wide.shape]).toEqual([
      [500, 2],
      [500, 3, 2],
    ]);
    const all = [numbers(draws, a), numbers(draws, b), numbers(draws, a, 2)];
    all.push([...(draws.feeds({ root: key(8), step: 1 }, {}, 0)[nameOf(a)] as Float32Array)]);
    expect(numbers(draws, a)).toEqual(all[0]);
    // 1000 draws: three standard deviations are 0.095 and, of the square, 0.134.
    all.forEach((x, i) => {
      expect(x).toHaveLength(1000);
      expect(Math.abs(mean(x))).toBeLessThan(0.095);
      expect(Math.abs(mean(x.map((v) => v * v)) - 1)).toBeLessThan(0.134);
      for (const y of all.slice(0, i)) expect(Math.abs(correlation(x, y))).toBeLessThan(0.095);
    });
    expect(numbers(draws, wide)).toHaveLength(3000);
  });

  it("of a sample depends on the sample, not on the batch around it", () => {
    const rows = (batch: number, shape?: readonly number[]) => {
      const draws = plain(batch);
      return numbers(draws, draws.normal("noise", shape), 5);
    };
    // Of three numbers too: they are made in pairs, of which none is left over for the next sample.
    for (const shape of [undefined, [3], [5, 7]]) {
      const [eight, four] = [rows(8, shape), rows(4, shape)];
      expect(four.length).toBe(eight.length / 2);
      expect(four).toEqual(eight.slice(0, four.length));
      expect(new Set(eight).size).toBe(eight.length);
    }
    expect(rows(2)).toEqual([0, 1].flatMap((i) => [...normal(fold(root, "noise", 5, i), 2)]));
  });

  it("called as something else is drawn shares no numbers with it", () => {
    const draws = plain(4);
    const noise = draws.normal("time", [200]);
    const [shared] = uniform(fold(root, "time", 1), 1);
    expect(numbers(draws, draws.clock("t", identity).column(identity, 1))[0]).toBeCloseTo(shared / 4, 6);
    expect(numbers(draws, noise).slice(0, 2)).not.toEqual([...normal(fold(root, "time", 1), 2)]);
  });
});

it("a ramp rises to 1 with the steps, and stays", () => {
  const draws = plain(2);
  const ramp = draws.ramp(4);
  expect(ramp.shape).toEqual([]);
  expect([1, 2, 3, 4, 5, 100].map((step) => numbers(draws, ramp, step)[0])).toEqual([0.25, 0.5, 0.75, 1, 1, 1]);
});

it("only what was asked for is fed", () => {
  const draws = plain(2);
  expect(draws.feeds(at(1), { x: new Float32Array(4) }, 0.5)).toEqual({});
  draws.data("x");
  expect(Object.keys(draws.feeds(at(1), { x: new Float32Array(4), y: new Float32Array(4) }, 0.5))).toEqual(["x"]);
});
