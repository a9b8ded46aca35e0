// The estimate of memory: on graphs that can be counted by hand, and its shapes against ONNX Runtime's.

import { create, toBinary } from "@bufbuild/protobuf";
import {
  ModelProtoSchema,
  OperatorSetIdProtoSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  ValueInfoProtoSchema,
} from "onnx-buf";
import * as ort from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { emitGraph } from "../../src/graph/emitter.ts";
import type { Tensor } from "../../src/graph/index.ts";
import * as g from "../../src/graph/index.ts";
import { estimateMemory } from "../../src/graph/memory.ts";
import { infer, type Value, valuesGiven } from "../../src/graph/onnxShapes.ts";
import { buildNetwork } from "../../src/nn/network.ts";
import { collectParams, fromParts, inputVector } from "../../src/nn/params.ts";
import { rematerialized } from "../../src/nn/remat.ts";

const size = 1000;
const bytes = 4 * size;

describe("what is counted", () => {
  const x = g.input("x", [size]);
  it("inputs, constants and outputs, each once", () => {
    const table = g.constant(new Float32Array(size), [size]);
    const { inputs, constants, outputs, working } = estimateMemory({ y: g.add(g.mul(x, table), table) });
    expect({ inputs, constants, outputs, working }).toEqual({
      inputs: bytes,
      constants: bytes,
      outputs: bytes,
      working: bytes,
    });
  });
  it("a chain needs its last value and the next, as the runtime reuses what is free", () => {
    expect(estimateMemory({ y: g.exp(g.exp(g.exp(g.exp(g.exp(x))))) }).working).toBe(2 * bytes);
  });
  it("a value that is read later is kept", () => {
    const early = g.exp(x);
    const late = g.tanh(g.tanh(g.tanh(early)));
    expect(estimateMemory({ y: g.mul(late, early) }).working).toBe(3 * bytes);
  });
  it("reshaping is free", () => {
    const view = (v: Tensor) => g.reshape(g.reshape(v, [10, 100]), [100, 10]);
    expect(estimateMemory({ y: g.reshape(g.exp(view(g.exp(x))), [size]) }).working).toBe(bytes);
  });
  it("a free buffer that will be used again counts in between, as the runtime does not give it back", () => {
    const spread = (v: Tensor, n: number) => g.exp(g.broadcastTo(g.reshape(g.sum(v), [1]), [n]));
    const again = spread(spread(g.exp(x), 2 * size), size);
    // Two of the wide vectors, and one of the narrow ones from before, kept for those after; and a few numbers.
    const { working } = estimateMemory({ y: g.sum(again) });
    expect(working).toBeGreaterThanOrEqual(5 * bytes);
    expect(working).toBeLessThan(5.1 * bytes);
  });
});

const deep = (c: boolean, n: number) => {
  const x = g.input("x", [size]);
  const block = (h: Tensor) => g.tanh(g.sin(g.tanh(g.sin(g.tanh(g.sin(h))))));
  let y: Tensor = x;
  for (let i = 0; i < n; i++) y = c ? g.checkpoint(block)(y) : block(y);
  return estimateMemory({ dx: g.grad(g.sum(y), [x])[0] }).working / bytes;
};

describe("gradient checkpointing", () => {
  it("keeps one value per block instead of six", () => {
    expect((deep(false, 20) - deep(false, 10)) / 10).toBeCloseTo(6, 0);
    expect((deep(true, 20) - deep(true, 10)) / 10).toBeCloseTo(1, 0);
  });
});

const nets = [
  {
    family: "unet2d",
    config: {
      sample_size: 8,
      block_out_channels: [16, 32],
      layers_per_block: 1,
      norm_num_groups: 4,
      down_block_types: ["DownBlock2D", "AttnDownBlock2D"],
      up_block_types: ["AttnUpBlock2D", "UpBlock2D"],
      attention_head_dim: 8,
    },
  },
  { family: "dit", config: { size: 8, width: 16, depth: 2, heads: 2 } },
  { family: "mlp", config: { width: 16 } },
];

describe("the shapes are ONNX Runtime's", () => {
  for (const { family, config } of nets)
    it.each([1, 8])(`${family}, blocks of %i channels`, async (block) => {
      const net = buildNetwork({ family, config });
      const [x, tau] = [g.input("x", [16, ...net.sampleShape]), g.input("tau", [16])];
      const spec = collectParams((p) => net.apply(p, x, tau, {}));
      const theta = inputVector("theta", spec);
      const loss = g.mean(g.square(net.apply(rematerialized(fromParts(spec, theta)), x, tau, {})));
      const { graph, domains } = emitGraph({ loss, gradient: g.grad(loss, theta) }, "cpu", block);
      const values = valuesGiven(graph);
      for (const node of graph.node)
        infer(node, (name) => values.get(name) as Value).forEach((value, i) => {
          values.set(node.output[i], value);
        });
      // Every value as an output without a shape: the runtime says what it finds.
      const known = new Set(graph.output.map((o) => o.name));
      for (const name of graph.node.flatMap((node) => node.output).filter((n) => !known.has(n))) {
        const type = { elemType: values.get(name)!.type };
        graph.output.push(
          create(ValueInfoProtoSchema, {
            name,
            type: create(TypeProtoSchema, {
              value: { case: "tensorType", value: create(TypeProto_TensorSchema, type) },
            }),
          }),
        );
      }
      const opset = (domain: string, version: bigint) => create(OperatorSetIdProtoSchema, { domain, version });
      const opsetImport = [opset("", 21n), ...domains.map((domain) => opset(domain, 1n))];
      const model = toBinary(ModelProtoSchema, create(ModelProtoSchema, { irVersion: 10n, graph, opsetImport }));
      const session = await ort.InferenceSession.create(model, {
        graphOptimizationLevel: "disabled",
        logSeverityLevel: 3,
      });
      let compared = 0;
      for (const found of session.outputMetadata) {
        if (!found.isTensor || !found.shape.every((d) => typeof d === "number" && d >= 0)) continue;
        expect(values.get(found.name)?.shape, found.name).toEqual(found.shape);
        compared++;
      }
      await session.release();
      expect(compared).toBeGreaterThan(0.9 * graph.output.length);
    });
});
