// Pairs: what a read is, and what it costs.

import { describe, expect, it } from "vitest";
import { times } from "../src/clock.ts";
import { input } from "../src/graph/index.ts";
import { dataRow, noiseRow, type Pair, type RowAt, read } from "../src/pair.ts";
import { nodeRuntime } from "../src/runtime/node.ts";

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
