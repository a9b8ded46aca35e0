// Attention in pieces: the numbers of attention as a whole, without ever holding all scores.

import type { GraphProto } from "onnx-buf";
import { afterAll, describe, expect, it } from "vitest";
import { attentionInPieces, type Limits } from "../../src/graph/attentionPieces.ts";
import { emitGraph } from "../../src/graph/emitter.ts";
import type { AttentionOptions, Outputs, Tensor } from "../../src/graph/index.ts";
import * as g from "../../src/graph/index.ts";
import { estimateMemory } from "../../src/graph/memory.ts";
import { infer, type Value, valuesGiven } from "../../src/graph/onnxShapes.ts";
import { computedNodes } from "../../src/graph/walk.ts";
import { fold, key, normal } from "../../src/random.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { derivatives, evaluate, expectClose } from "../support/derivatives.ts";

const runtime = nodeRuntime({ threads: 1 });
afterAll(() => expect(runtime.open()).toBe(0));

const WHOLE: Limits = { whole: 1e12, piece: 1, pieces: 1 };
/** Pieces of at most this many scores. */
const scores = (n: number): Limits => ({ whole: 0, piece: 4 * n, pieces: 1e9 });
const values = (name: string, n: number) => normal(fold(key(5), name), n);

interface Case {
  readonly name: string;
  readonly shapes: Readonly<Record<string, readonly number[]>>;
  readonly limit: Limits;
  /** How many products q kᵀ the forward pass has. */
  readonly pieces: number;
  readonly options?: (x: Readonly<Record<string, Tensor>>) => AttentionOptions;
  readonly roles?: (x: Readonly<Record<string, Tensor>>) => readonly [Tensor, Tensor, Tensor];
}
const bool = (shape: readonly number[], keep: (i: number) => boolean): Tensor =>
  g.constant(
    Uint8Array.from({ length: g.sizeOf(shape) }, (_, i) => Number(keep(i))),
    shape,
  );
const shapes = { q: [2, 3, 5, 4], k: [2, 3, 7, 4], v: [2, 3, 7, 6] };
const squared = { q: [1, 2, 7, 4], k: [1, 2, 7, 4], v: [1, 2, 7, 4] };
const cases: readonly Case[] = [
  { name: "one query at a time", shapes, limit: scores(1), pieces: 30 },
  { name: "two or one of five queries", shapes, limit: scores(2 * 7), pieces: 18 },
  { name: "one head at a time", shapes, limit: scores(5 * 7), pieces: 6 },
  { name: "two or one of three heads", shapes, limit: scores(2 * 5 * 7), pieces: 4 },
  { name: "one sample at a time", shapes, limit: scores(3 * 5 * 7), pieces: 2 },
  { name: "not more pieces than a limit", shapes, limit: { whole: 0, piece: 1, pieces: 6 }, pieces: 6 },
  {
    name: "a scale, and a mask of booleans for each head, which hides all keys of a query",
    shapes,
    limit: scores(2 * 7),
    pieces: 18,
    options: () => ({ scale: 0.7, mask: bool([3, 5, 7], (i) => i % 3 !== 0 && Math.floor(i / 7) !== 4) }),
  },
  {
    name: "a mask of booleans for all queries",
    shapes,
    limit: scores(2 * 7),
    pieces: 18,
    options: () => ({ mask: bool([2, 1, 1, 7], (i) => i % 4 !== 0) }),
  },
  {
    name: "a mask of floats with a gradient",
    shapes: { ...shapes, mask: [3, 5, 7] },
    limit: scores(2 * 7),
    pieces: 18,
    options: ({ mask }) => ({ mask }),
  },
  {
    name: "a mask of floats for all queries, with a gradient",
    shapes: { ...shapes, mask: [2, 1, 1, 7] },
    limit: scores(2 * 7),
    pieces: 18,
    options: ({ mask }) => ({ mask }),
  },
  {
    name: "a mask of one row, with a gradient",
    shapes: { ...shapes, mask: [7] },
    limit: scores(2 * 7),
    pieces: 18,
    options: ({ mask }) => ({ mask }),
  },
  { name: "causal", shapes, limit: scores(2 * 7), pieces: 18, options: () => ({ causal: true }) },
  {
    name: "causal with a mask of floats",
    shapes: { ...squared, mask: [7, 7] },
    limit: scores(3 * 7),
    pieces: 6,
    options: ({ mask }) => ({ causal: true, mask }),
  },
  {
    name: "keys and values shared by heads",
    shapes: { q: [2, 3, 5, 4], k: [2, 1, 7, 4], v: [1, 7, 6] },
    limit: scores(2 * 7),
    pieces: 18,
  },
  { name: "three axes", shapes: { q: [3, 5, 4], k: [3, 7, 4], v: [3, 7, 6] }, limit: scores(2 * 7), pieces: 9 },
  {
    name: "one tensor in all roles",
    shapes: { x: [1, 2, 5, 4] },
    limit: scores(2 * 5),
    pieces: 6,
    roles: ({ x }) => [x, x, x],
  },
  {
    name: "one tensor in all roles, all queries at once",
    shapes: { x: [1, 1, 5, 4] },
    limit: scores(25),
    pieces: 1,
    roles: ({ x }) => [x, x, x],
  },
  { name: "no gradient for the keys", shapes: { q: [1, 2, 5, 4] }, limit: scores(2 * 3), pieces: 6, roles: fixedKeys },
];
function fixedKeys({ q }: Readonly<Record<string, Tensor>>): readonly [Tensor, Tensor, Tensor] {
  return [q, g.constant(values("k", 24), [1, 2, 3, 4]), g.constant(values("v", 24), [1, 2, 3, 4])];
}

function derivativesOf({ shapes, options, roles }: Case, limit: Limits): Record<string, Tensor> {
  const t = Object.fromEntries(Object.entries(shapes).map(([n, s]) => [n, g.input(n, s)]));
  const [q, k, v] = roles?.(t) ?? [t.q, t.k, t.v];
  return derivatives(attentionInPieces(q, k, v, options?.(t) ?? {}, limit), Object.values(t), values);
}
const run = (c: Case, limit: Limits) => evaluate(runtime, derivativesOf(c, limit), values);

describe("attention in pieces has the value and the derivatives of attention as a whole", () => {
  for (const c of cases)
    it(c.name, async () => {
      expectClose(await run(c, c.limit), await run(c, WHOLE), 3e-6);
    });

  it.each(cases.map((c) => [c.name, c] as const))("the number of pieces: %s", (_, c) => {
    const products = computedNodes([derivativesOf(c, c.limit).value]).filter(({ op }) => op === "matmul");
    expect(products.length).toBe(2 * c.pieces);
  });
});

/** Every value of a graph, those in branches too. */
function sizes(graph: GraphProto, known = new Map<string, Value>()): number[] {
  const values = new Map([...known, ...valuesGiven(graph)]);
  return graph.node.flatMap((node) => {
    const inner = node.attribute.flatMap(({ g: branch }) => (branch ? sizes(branch, values) : []));
    const made = infer(node, (name) => values.get(name)!);
    made.forEach((value, i) => {
      values.set(node.output[i], value);
    });
    return [...made.map(({ shape }) => g.sizeOf(shape)), ...inner];
  });
}

describe("what is emitted", () => {
  // Awkward lengths: 4095 queries of 8 heads, 77 keys; and 2048 of themselves.
  const attend = (queries: number, keys: number, attention: typeof g.attention = g.attention) => {
    const shape = (n: number) => [1, 8, n, 4];
    const wrt = [g.input("q", shape(queries)), g.input("k", shape(keys)), g.input("v", shape(keys))];
    const [q, k, v] = wrt;
    const y = attention(q, k, v);
    const [tangent] = g.jvp([y], wrt, wrt);
    return { y, wrt, tangent, gradient: g.grad(g.sum(g.square(y)), wrt) };
  };
  const whole: typeof g.attention = (q, k, v) => attentionInPieces(q, k, v, {}, WHOLE);

  it.each([
    [2048, 2048],
    [2047, 1031],
  ])("training holds no tensor of the scores' size: %i queries, %i keys", (queries, keys) => {
    const largest = (attention: typeof g.attention) => {
      const { y, tangent, gradient, wrt } = attend(queries, keys, attention);
      const programs: Outputs[] = [
        { y, gradient },
        { y, tangent },
        { y, second: g.grad(g.sum(tangent), wrt) },
      ];
      return programs.map((outputs) => Math.max(...sizes(emitGraph(outputs, "cpu").graph)));
    };
    for (const n of largest(g.attention)) expect(n).toBeLessThanOrEqual(2 ** 20);
    for (const n of largest(whole)) expect(n).toBe(8 * queries * keys);
  });

  it("the pieces are not held together", () => {
    const working = (attention: typeof g.attention) => {
      const { y, tangent, gradient, wrt } = attend(2048, 2048, attention);
      const programs: Outputs[] = [{ y }, { y, gradient }, { y, tangent }, { y, second: g.grad(g.sum(tangent), wrt) }];
      return programs.map((outputs) => estimateMemory(outputs).working / (4 * 8 * 2048 * 2048));
    };
    for (const part of working(g.attention)) expect(part).toBeLessThan(0.35);
    for (const part of working(whole)) expect(part).toBeGreaterThan(1.9);
  });

  it("small scores stay whole, byte for byte", () => {
    const bytes = (attention: typeof g.attention) => {
      const { y, tangent, gradient } = attend(4095, 77, attention);
      return g.emitModel({ y, tangent, gradient }, "cpu").bytes;
    };
    expect(bytes(g.attention)).toEqual(bytes(whole));
  });
});
