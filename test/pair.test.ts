// Clocks and pairs: which columns a program gets, what they hold, and what a read costs.

import { describe, expect, it } from "vitest";
import { input, type Tensor } from "../src/graph/index.ts";
import { dataRow, noiseRow, type Pair, type RowAt, read, times } from "../src/pair.ts";
import { nodeRuntime } from "../src/runtime/node.ts";

const square = (t: number) => t * t;
const values = (feeds: Record<string, Float32Array>, column: Tensor) =>
  Object.values(feeds).map((feed) => [...feed])[Object.keys(feeds).indexOf(inputName(column))];
const inputName = ({ source }: Tensor) => {
  if (source.kind !== "input") throw new Error("Expected an input.");
  return source.name;
};

describe("a clock", () => {
  it("shows a function of every sample's time, shaped to multiply a batch", () => {
    const clock = times(3);
    const [flat, image] = [clock.column(square, 1), clock.column(square, 4)];
    expect([flat.shape, image.shape]).toEqual([[3], [3, 1, 1, 1]]);
    const feeds = clock.feeds([0.5, 0.25, 1]);
    expect(values(feeds, flat)).toEqual([0.25, 0.0625, 1]);
    expect(values(feeds, image)).toEqual([0.25, 0.0625, 1]);
    expect(clock.batch).toBe(3);
  });

  it("feeds a column once, however often it is asked for", () => {
    const clock = times(2);
    expect(clock.column(square, 2)).toBe(clock.column(square, 2));
    expect(clock.column(square, 1)).not.toBe(clock.column(square, 2));
    expect(clock.column(square, 1)).toBe(clock.column(square, 1));
    expect(clock.column((t) => t * t, 2)).not.toBe(clock.column(square, 2));
    expect(Object.keys(clock.feeds([0, 1]))).toEqual(["t.0", "t.1", "t.2"]);
    expect(Object.keys(times(1, "s").feeds([1]))).toEqual([]);
    expect(inputName(times(1, "s").column(square, 1))).toBe("s.0");
  });

  it("that is moved shows other times, and so do clocks moved from it", () => {
    const clock = times(2);
    const half = clock.at((t) => t / 2);
    // Inside out: the last move is applied first to what the clock before it shows.
    const later = half.at((t) => t + 1);
    const columns = [clock, half, later].map((c) => c.column(square, 1));
    const feeds = clock.feeds([0.5, 1]);
    expect(columns.map((column) => values(feeds, column))).toEqual([
      [0.25, 1],
      [0.0625, 0.25],
      [1.5625, 2.25],
    ]);
    expect([half.batch, later.batch]).toEqual([2, 2]);
    // A column of a moved clock is not the unmoved one, nor the other way round.
    const other = times(1);
    const moved = other.at((t) => 1 - t).column(square, 1);
    expect(other.column(square, 1)).not.toBe(moved);
    expect(other.at((t) => 1 - t).column(square, 1)).not.toBe(other.column(square, 1));
  });

  it("refuses times for another batch", () => {
    expect(() => times(2).feeds([0.5])).toThrow("Got 1 times for a batch of 2.");
  });
});

describe("a pair", () => {
  const clock = times(2);
  const [a, b] = [input("a", [2, 3]), input("b", [2, 3])];
  const pair: Pair = { clock, a, rowA: dataRow, b, rowB: noiseRow };

  it("gives the rows it holds as they are", () => {
    expect([dataRow(0.3), noiseRow(0.3)]).toEqual([
      [1, 0],
      [0, 1],
    ]);
    expect([read(pair, dataRow), read(pair, noiseRow)]).toEqual([a, b]);
    expect(read(pair, dataRow)).toBe(a);
    expect(read(pair, noiseRow)).toBe(b);
  });

  it("gives any third row by each sample's own combination", async () => {
    const rowA: RowAt = (t) => [1 - t, t];
    const rowB: RowAt = (t) => [-1, 1 + t];
    const runtime = nodeRuntime({ threads: 1 });
    const program = await runtime.compile({ found: read({ clock, a, rowA, b, rowB }, (t) => [2, t]) });
    const ts = [0.25, 0.75];
    const [data, noise] = [
      [1, -2, 0.5, 3, 0, -1],
      [0.5, 1, -1, 2, -3, 0.25],
    ];
    const of = (row: RowAt) =>
      Float32Array.from(data, (x, i) => {
        const [p, q] = row(ts[Math.floor(i / 3)]);
        return p * x + q * noise[i];
      });
    const { found } = await program.run({ a: of(rowA), b: of(rowB), ...clock.feeds(ts) });
    await program.dispose();
    expect([...(found.data as Float32Array)]).toEqual([...of((t) => [2, t])].map((x) => expect.closeTo(x, 5)));
  });
});
