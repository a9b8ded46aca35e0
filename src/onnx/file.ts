// A model file as plain objects: nodes, stored arrays, inputs and outputs.

import { create, fromBinary } from "@bufbuild/protobuf";
import {
  type AttributeProto,
  AttributeProto_AttributeType as AttributeType,
  type GraphProto,
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  type TensorProto,
  TensorProtoSchema,
  type ValueInfoProto,
} from "onnx-buf";
import type { DType } from "../graph/index.ts";
import type { Host } from "./host.ts";
import { DEEPEST } from "./limits.ts";
import { dtypeOf, type ExternalData, type StoredArray, storedArray } from "./tensors.ts";

export interface OnnxNode {
  /** "Conv"; with its domain where that is not ONNX's own: "com.microsoft.FusedConv". */
  readonly op: string;
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attrs: ReadonlyMap<string, Attr>;
}
/** `ref`: the value of an attribute of the function that the node is in. */
export type Attr =
  | number
  | string
  | readonly number[]
  | readonly string[]
  | Host
  | OnnxGraph
  | { readonly ref: string };

export interface OnnxGraph {
  readonly nodes: readonly OnnxNode[];
  readonly arrays: ReadonlyMap<string, StoredArray>;
  readonly inputs: readonly Described[];
  readonly outputs: readonly Described[];
}

/** A size that is a string may vary; values of one name are equal. */
export interface Described {
  readonly name: string;
  readonly shape: readonly (number | string)[];
  readonly dtype: DType;
}

export interface OnnxFunction {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly nodes: readonly OnnxNode[];
  readonly defaults: ReadonlyMap<string, Attr>;
}

export interface OnnxFile {
  readonly graph: OnnxGraph;
  /** The version of each domain's operators; ONNX's own domain is "". */
  readonly opsets: ReadonlyMap<string, number>;
  readonly functions: ReadonlyMap<string, OnnxFunction>;
  readonly proto: ModelProto;
}

/** Throws an Error where the bytes are no ONNX model, or one that is cut off. */
export function readFile(bytes: Uint8Array, external?: ExternalData): OnnxFile {
  let proto: ModelProto;
  try {
    proto = fromBinary(ModelProtoSchema, bytes);
  } catch (cause) {
    throw new Error(`The ${bytes.length} bytes are no ONNX model, or one that is cut off.`, { cause });
  }
  if (!proto.graph || proto.opsetImport.length === 0)
    throw new Error(
      `The ${bytes.length} bytes hold no complete ONNX model: ${proto.graph ? "the version of its operators" : "its graph"} is missing. The file may be cut off.`,
    );
  return {
    proto,
    graph: graphOf(proto.graph, external),
    opsets: new Map(proto.opsetImport.map(({ domain, version }) => [ownDomain(domain), Number(version)])),
    functions: new Map(
      proto.functions.map((f) => [
        qualified(f.domain, f.name),
        {
          inputs: f.input,
          outputs: f.output,
          nodes: f.node.map((n) => nodeOf(n, external)),
          defaults: attrsOf(f.attributeProto, external),
        },
      ]),
    ),
  };
}

const ownDomain = (domain: string): string => (domain === "ai.onnx" ? "" : domain);
const qualified = (domain: string, name: string): string => (ownDomain(domain) === "" ? name : `${domain}.${name}`);
/** The domain of a qualified operator. */
export const domainOf = (op: string): string => op.slice(0, Math.max(0, op.lastIndexOf(".")));

function graphOf(graph: GraphProto, external: ExternalData | undefined, depth = 0): OnnxGraph {
  if (depth > DEEPEST)
    throw new Error(`The model has graphs within graphs, more than ${DEEPEST} deep; that is the limit.`);
  if (graph.sparseInitializer.length > 0)
    throw new Error(`The model holds ${graph.sparseInitializer.length} sparse arrays, which are not supported.`);
  const constants = graph.node.flatMap((node) => {
    const stored = constantIn(node);
    return stored ? [stored] : [];
  });
  const arrays = new Map([...graph.initializer, ...constants].map((t) => [t.name, storedArray(t, external)]));
  return {
    nodes: graph.node.filter((n) => !constantIn(n)).map((n) => nodeOf(n, external, depth)),
    arrays,
    // Old files list stored arrays among the inputs.
    inputs: graph.input.filter((x) => !arrays.has(x.name)).map(described),
    outputs: graph.output.map(described),
  };
}

/** The array of a Constant node, by the name of its output: some exporters keep weights in these. */
export function constantIn({ opType, domain, attribute, output }: NodeProto): TensorProto | undefined {
  if (opType !== "Constant" || ownDomain(domain) !== "" || attribute.length !== 1) return undefined;
  const [{ name, t, refAttrName }] = attribute;
  if (name !== "value" || !t || refAttrName !== "" || output.length !== 1) return undefined;
  // Fields that a message does not set have their defaults in its prototype, which a spread would lose.
  return Object.assign(create(TensorProtoSchema), t, { name: output[0] });
}

function nodeOf(node: NodeProto, external: ExternalData | undefined, depth = 0): OnnxNode {
  return {
    op: qualified(node.domain, node.opType),
    name: node.name || node.output[0] || node.opType,
    inputs: node.input,
    outputs: node.output,
    attrs: attrsOf(node.attribute, external, depth),
  };
}

const attrsOf = (list: readonly AttributeProto[], external: ExternalData | undefined, depth = 0) =>
  new Map(list.map((a) => [a.name, attrOf(a, external, depth)]));

function attrOf(a: AttributeProto, external: ExternalData | undefined, depth: number): Attr {
  if (a.refAttrName !== "") return { ref: a.refAttrName };
  if (a.type === AttributeType.FLOAT) return a.f;
  if (a.type === AttributeType.INT) return Number(a.i);
  if (a.type === AttributeType.STRING) return text(a.s);
  if (a.type === AttributeType.TENSOR && a.t) return storedArray(a.t, external).read();
  if (a.type === AttributeType.GRAPH && a.g) return graphOf(a.g, external, depth + 1);
  if (a.type === AttributeType.FLOATS) return a.floats;
  if (a.type === AttributeType.INTS) return a.ints.map(Number);
  if (a.type === AttributeType.STRINGS) return a.strings.map(text);
  // Sparse tensors, types: no operator here takes them, so they are reported by name.
  return `a value of type ${AttributeType[a.type] ?? a.type}`;
}
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

function described({ name, type }: ValueInfoProto): Described {
  if (type?.value.case !== "tensorType") return { name, shape: [], dtype: "float32" };
  const { shape, elemType } = type.value.value;
  return {
    name,
    dtype: dtypeOf(elemType, `The input or output "${name}"`),
    shape: (shape?.dim ?? []).map(({ value }, i) =>
      value.case === "dimValue" ? Number(value.value) : value.case === "dimParam" ? value.value : `${name}.${i}`,
    ),
  };
}
