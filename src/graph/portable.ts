// Graphs for runtimes other than ONNX Runtime: its own operators written with those of ONNX.

import type { GraphProto, NodeProto } from "onnx-buf";
import { TensorProto_DataType as DataType } from "onnx-buf";
import { node, tensor } from "./proto.ts";

/**
 * The same graph with operators of ONNX alone, for one that was emitted for WebGPU: there only QuickGelu (SiLU with
 * alpha = 1) is ONNX Runtime's. Throws an Error for another one.
 */
export function portable(graph: GraphProto): GraphProto {
  const constants: GraphProto["initializer"] = [];
  const rewrite = (one: NodeProto): NodeProto[] => {
    if (one.domain === "") return [one];
    if (one.opType !== "QuickGelu") throw new Error(`${one.domain}.${one.opType} is no operator of ONNX.`);
    const [x] = one.input;
    const [y] = one.output;
    const alpha = one.attribute.find(({ name }) => name === "alpha")?.f ?? 1.702;
    const plain = (opType: string, ins: readonly string[], output: string) =>
      node({ opType, domain: "", name: `${one.name}_${opType}_${output}`, ins, output: [output], attribute: [] });
    if (alpha === 1) return [plain("Sigmoid", [x], `${y}.gate`), plain("Mul", [x, `${y}.gate`], y)];
    const bytes = new Uint8Array(Float32Array.of(alpha).buffer);
    constants.push(tensor(`${y}.alpha`, [], DataType.FLOAT, bytes));
    const scaled = plain("Mul", [x, `${y}.alpha`], `${y}.scaled`);
    return [scaled, plain("Sigmoid", [`${y}.scaled`], `${y}.gate`), plain("Mul", [x, `${y}.gate`], y)];
  };
  const nodes = graph.node.flatMap(rewrite);
  return { ...graph, node: nodes, initializer: [...graph.initializer, ...constants] };
}
