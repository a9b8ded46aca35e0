// Gradient checkpointing: the same numbers, computed again instead of kept.

import { fromBinary } from "@bufbuild/protobuf";
import { type GraphProto, ModelProtoSchema, type NodeProto } from "onnx-buf";
import { afterAll, describe, expect, it } from "vitest";
import type { Tensor } from "../../src/graph/index.ts";
import * as g from "../../src/graph/index.ts";
import { fold, key, normal, randint } from "../../src/random.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { derivatives, evaluate, expectClose } from "../support/derivatives.ts";

const runtime = nodeRuntime({ threads: 1 });
afterAll(() => expect(runtime.open()).toBe(0));

const values = (name: string, n: number) => normal(fold(key(11), name), n).map((v) => 0.5 * v);
type Wrap = <R extends Tensor | readonly Tensor[]>(f: (...xs: Tensor[]) => R) => (...xs: Tensor[]) => R;
const plain: Wrap = (f) => f;

type Parameters = Readonly<Record<"w1" | "w2" | "b" | "gain", Tensor>>;
const shapes = { x: [3, 4], w1: [4, 4], w2: [4, 4], b: [4], gain: [4] };

/** Functions of x [3, 4] and parameters, with `c` around what may be computed again. */
const nets: Record<string, (c: Wrap, x: Tensor, p: Parameters) => Tensor> = {
  "a block that closes over its parameters": (c, x, p) => c((h) => g.silu(g.linear(h, p.w1, p.b)))(x),
  "blocks in a row, with residuals": (c, x, p) => {
    const block = (w: Tensor) => c((h) => g.add(h, g.tanh(g.matmul(g.layerNorm(h, 1, p.gain), w))));
    return block(p.w2)(block(p.w1)(x));
  },
  "a checkpoint in a checkpoint": (c, x, p) =>
    c((h) => {
      const inner = c((z) => g.gelu(g.matmul(z, p.w1)))(h);
      return g.mul(c((z) => g.exp(g.mul(z, p.gain)))(inner), g.matmul(inner, p.w2));
    })(x),
  "several outputs, one of them not used": (c, x, p) => {
    const [a, b] = c((h): Tensor[] => [g.tanh(g.matmul(h, p.w1)), g.sigmoid(h), g.exp(h)])(x);
    return g.add(g.mul(a, b), a);
  },
  "an output that is used inside and outside": (c, x, p) => {
    let inner = x;
    const y = c((h) => {
      inner = g.tanh(g.matmul(h, p.w1));
      return g.square(inner);
    })(x);
    return g.add(g.mul(y, inner), g.matmul(y, p.w2));
  },
  "an input that is returned, and one that is used twice": (c, x, p) => {
    const [same, y, again] = c((h): Tensor[] => [h, g.silu(g.add(h, g.matmul(h, p.w1))), h])(x);
    return g.add(g.mul(same, y), g.exp(again));
  },
  "a condition from before, through which one path has no derivative": (c, x, p) => {
    const signal = g.tanh(g.matmul(x, p.w2));
    return c((h) => g.add(g.mul(g.stopGradient(signal), h), g.mul(g.where(g.less(h, 0), signal, h), p.b)))(x);
  },
  "no arguments": (c, x, p) => c(() => g.softmax(g.matmul(x, p.w1)))(),
  "a constant": (c, x) => g.add(x, c(() => g.full([4], 2))()),
};

const tensors = () => Object.fromEntries(Object.entries(shapes).map(([n, s]) => [n, g.input(n, s)]));

function run(c: Wrap, net: (typeof nets)[string]) {
  const t = tensors();
  const y = net(c, t.x, t as unknown as Parameters);
  return evaluate(runtime, derivatives(y, Object.values(t), values), values);
}
const expectSame = async (net: (typeof nets)[string]) =>
  expectClose(await run(g.checkpoint, net), await run(plain, net), 2e-6);

describe("checkpoint has the value and the derivatives of its function", () => {
  for (const [name, net] of Object.entries(nets)) it(name, () => expectSame(net));

  it.each([0, 1, 2, 3, 4, 5])("random nets: %i", async (seed) => {
    const pick = (what: string, n: number) => randint(fold(key(seed), what), 1, n)[0];
    // A few layers; each may be a block, hold a block, or be plain.
    const net: (typeof nets)[string] = (c, x, p) => {
      const layers = [g.tanh, g.silu, g.sigmoid, (h: Tensor) => g.layerNorm(h, 1, p.gain), (h: Tensor) => g.softmax(h)];
      let h = x;
      for (let i = 0; i < 4; i++) {
        const act = layers[pick(`act ${i}`, layers.length)];
        const w = pick(`w ${i}`, 2) ? p.w1 : p.w2;
        const inner = (z: Tensor) => g.add(act(g.matmul(z, w)), g.mul(z, p.b));
        const kind = pick(`kind ${i}`, 3);
        h = kind === 0 ? inner(h) : kind === 1 ? c(inner)(h) : c((z) => g.add(z, c(inner)(g.mul(z, p.gain))))(h);
      }
      return h;
    };
    await expectSame(net);
  });

  it("with labels, which are no floats", async () => {
    const label = g.constant(BigInt64Array.of(2n, 0n, 2n), [3]);
    await expectSame((c, x, p) => c((h, index) => g.mul(h, g.embedding(p.w1, index)))(x, label));
  });
});

describe("what is emitted", () => {
  const f = (x: Tensor) => g.exp(g.sin(g.exp(g.sin(x))));
  const graphOf = (outputs: Record<string, Tensor>) =>
    fromBinary(ModelProtoSchema, g.emitModel(outputs, "cpu").bytes).graph!;

  it("is the same program, byte for byte, where nothing is differentiated", () => {
    for (const net of Object.values(nets)) {
      const [one, other] = [plain, g.checkpoint as Wrap].map((c) => {
        const t = tensors();
        return g.emitModel({ y: net(c, t.x, t as unknown as Parameters) }, "cpu").bytes;
      });
      expect(other).toEqual(one);
    }
  });

  it("computes the inside again in the backward pass, which reads nothing else of the forward pass", () => {
    const x = g.input("x", [8]);
    const y = g.checkpoint(f)(g.mul(x, 2));
    const graph = graphOf({ y, dx: g.grad(g.sum(y), [x])[0] });
    const count = (nodes: readonly NodeProto[], type: string) => nodes.filter((n) => n.opType === type).length;
    expect(count(graph.node, "Exp")).toBe(2);
    const [apart] = graph.node.filter((n) => n.opType === "If");
    const taken = apart.attribute.find((a) => a.name === "else_branch")!.g!;
    expect(count(taken.node, "Exp")).toBe(2);
    const fromForward = outerReads(taken).filter((name) => graph.node.some((n) => n.output.includes(name)));
    // The argument, and the cotangent.
    expect(fromForward).toHaveLength(2);
  });

  it("keeps everything without it (what the tests above would not notice)", () => {
    const x = g.input("x", [8]);
    const y = f(g.mul(x, 2));
    expect(graphOf({ y, dx: g.grad(g.sum(y), [x])[0] }).node.some((n) => n.opType === "If")).toBe(false);
  });
});

/** The values of the surrounding graph that a branch reads. */
function outerReads(graph: GraphProto): string[] {
  const own = new Set(graph.node.flatMap((n) => n.output));
  return [...new Set(graph.node.flatMap((n) => n.input))].filter((name) => !own.has(name) && !name.startsWith("c"));
}
