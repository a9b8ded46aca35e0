// Graphs inside a graph: the branches of an ONNX If, and what has to look into them.

import { create } from "@bufbuild/protobuf";
import {
  type AttributeProto,
  AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  GraphProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  type ValueInfoProto,
} from "onnx-buf";

/** What belongs to one graph of a model: the main one, or a branch. */
export interface Scope {
  readonly nodes: NodeProto[];
  /** Of tensors by id. */
  readonly names: Map<number, string>;
  /** Outputs of nodes by what they compute. */
  readonly seen: Map<string, string[]>;
}

export const newScope = (names = new Map<number, string>()): Scope => ({ nodes: [], names, seen: new Map() });

/** A branch that returns `names`. Values that are not its own, or are returned already, are copied. */
export function branch(
  attribute: "then_branch" | "else_branch",
  { nodes }: Scope,
  names: readonly string[],
  describe: (name: string, index: number) => ValueInfoProto,
): AttributeProto {
  const own = new Set(nodes.flatMap((node) => node.output));
  const output = names.map((name, i) => {
    if (own.delete(name)) return describe(name, i);
    const copy = `${name}.${i}`;
    nodes.push(create(NodeProtoSchema, { opType: "Identity", name: `out_${copy}`, input: [name], output: [copy] }));
    return describe(copy, i);
  });
  const g = create(GraphProtoSchema, {
    name: attribute,
    node: live(nodes, new Set(output.map((o) => o.name))),
    output,
  });
  return create(AttributeProtoSchema, { name: attribute, type: AttributeType.GRAPH, g });
}

/** What a node reads, in its branches too. */
export const reads = (node: NodeProto): string[] => [
  ...node.input,
  ...node.attribute.flatMap(({ g }) => (g ? g.node.flatMap(reads) : [])),
];

/** The nodes on which the outputs depend. */
export function live(nodes: readonly NodeProto[], outputs: ReadonlySet<string>): NodeProto[] {
  const used = new Set(outputs);
  const kept: NodeProto[] = [];
  for (let i = nodes.length - 1; i >= 0; i--) {
    if (!nodes[i].output.some((name) => used.has(name))) continue;
    for (const name of reads(nodes[i])) used.add(name);
    kept.push(nodes[i]);
  }
  return kept.reverse();
}

/** Gives values other names, in branches too. */
export function rename(nodes: readonly NodeProto[], names: ReadonlyMap<string, string>): void {
  const renamed = (value: string) => names.get(value) ?? value;
  for (const node of nodes) {
    node.input = node.input.map(renamed);
    node.output = node.output.map(renamed);
    for (const { g } of node.attribute) if (g) rename(g.node, names);
  }
}

/** Counts nodes by type, in branches too. */
export function count(nodes: readonly NodeProto[], counts = new Map<string, number>()): Map<string, number> {
  for (const { opType, attribute } of nodes) {
    counts.set(opType, (counts.get(opType) ?? 0) + 1);
    for (const { g } of attribute) if (g) count(g.node, counts);
  }
  return counts;
}
