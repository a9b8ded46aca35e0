// Who reads which value of a graph: what is needed for the outputs, which arrays are weights, which integers are only floats.

import { sizeOf } from "../graph/tensor.ts";
import { isGraph } from "./call.ts";
import type { OnnxGraph, OnnxNode } from "./file.ts";
import type { StoredArray } from "./tensors.ts";

export interface Use {
  readonly node: OnnxNode;
  /** Which of the node's inputs it is. */
  readonly index: number;
}

/** The nodes that the outputs depend on, in the file's order, which is one of evaluation. */
export function neededNodes({ nodes, outputs }: OnnxGraph): OnnxNode[] {
  const wanted = new Set(outputs.map(({ name }) => name));
  const needed: OnnxNode[] = [];
  for (let i = nodes.length - 1; i >= 0; i--) {
    const node = nodes[i];
    if (!node.outputs.some((name) => wanted.has(name))) continue;
    needed.push(node);
    for (const name of reads(node)) wanted.add(name);
  }
  return needed.reverse();
}

/** The names a node reads, those of the graphs inside it included. */
const reads = (node: OnnxNode): readonly string[] => [
  ...node.inputs,
  ...innerGraphs(node).flatMap((graph) => [...graph.nodes.flatMap(reads), ...graph.outputs.map(({ name }) => name)]),
];
export const innerGraphs = (node: OnnxNode): OnnxGraph[] => [...node.attrs.values()].filter(isGraph);

/** By name, who reads it; of nodes within nodes too. */
export function usesOf(nodes: readonly OnnxNode[]): ReadonlyMap<string, readonly Use[]> {
  const uses = new Map<string, Use[]>();
  const visit = (node: OnnxNode): void => {
    node.inputs.forEach((name, index) => {
      const list = uses.get(name) ?? [];
      list.push({ node, index });
      uses.set(name, list);
    });
    for (const graph of innerGraphs(node)) graph.nodes.forEach(visit);
  };
  nodes.forEach(visit);
  return uses;
}

const MOVES = new Set([
  "Identity",
  "Cast",
  "Reshape",
  "Transpose",
  "Unsqueeze",
  "Squeeze",
  "Expand",
  "Flatten",
  "Concat",
]);
const SCALES = new Set(["Mul", "Add", "Sub", "Div", "Neg"]);

type Uses = ReadonlyMap<string, readonly Use[]>;

/** Values that the uses of one array are followed through; further ones are as if they were not. */
const FARTHEST = 1000;

/** The uses of a value beyond the operators of `through`, which only pass it on. */
function finalUses(name: string, uses: Uses, through: ReadonlySet<string>): Use[] {
  const seen = new Set([name]);
  const final: Use[] = [];
  for (const value of seen) {
    for (const use of uses.get(value) ?? []) {
      const { op, outputs } = use.node;
      const passes = through.has(op) && (use.index === 0 || op === "Concat" || SCALES.has(op));
      if (!passes) final.push(use);
      else if (outputs.length > 0 && seen.size < FARTHEST) seen.add(outputs[0]);
    }
  }
  return final;
}

/** Whether an input of integers may be fed floats: everything done with it is to move it and to make it floats. */
export function readAsFloats(name: string, nodes: readonly OnnxNode[]): boolean {
  const uses = usesOf(nodes);
  const moves = new Set([...MOVES].filter((op) => op !== "Cast"));
  const final = finalUses(name, uses, moves);
  const toFloat = ({ node }: Use) => node.op === "Cast" && [1, 10, 11, 16].includes(Number(node.attrs.get("to")));
  return final.length > 0 && final.every((use) => toFloat(use) || use.node.op === "Shape");
}

/** The table whose rows an input picks: a weight's name, or undefined. */
export function tablePickedBy(
  name: string,
  { arrays }: OnnxGraph,
  nodes: readonly OnnxNode[],
): StoredArray | undefined {
  const picks = finalUses(name, usesOf(nodes), MOVES).filter(({ node, index }) => node.op === "Gather" && index === 1);
  return picks.map(({ node }) => arrays.get(node.inputs[0])).find((table) => table !== undefined);
}

// Inputs that have weights by nature, whatever their size.
const LAYERS =
  /^(com\.microsoft\.)?(Fused)?(Conv|ConvTranspose|Gemm)$|(Instance|Group|Layer|Batch|RMS)Norm|GroupNorm$|^PRelu$/;
const PRODUCTS = new Set(["MatMul", "com.microsoft.FusedMatMul", "Einsum", "com.microsoft.BiasGelu"]);
const AFFINE = new Set(["Mul", "Add", "Sub", "Div", "Sum"]);

/**
 * Which stored arrays of floats are weights, by what is done with them: those of layers, products and embeddings, and
 * the larger operands of sums and products. Not: sizes and limits, running statistics, frequencies (only the argument
 * of a sine or cosine), and the ones and zeros that exporters give to normalizations without weights.
 */
export function weightsAmong({ arrays }: OnnxGraph, nodes: readonly OnnxNode[]): StoredArray[] {
  const uses = usesOf(nodes);
  return [...arrays.values()].filter((array) => {
    if (array.dtype !== "float32" || array.shape.length === 0) return false;
    const named = /(^|\.)(weight|bias)$/.test(array.name);
    const final = finalUses(array.name, uses, MOVES);
    return final.some((use) => trains(use, array, named, uses));
  });
}

function trains({ node, index }: Use, array: StoredArray, named: boolean, uses: Uses): boolean {
  const { op } = node;
  if (LAYERS.test(op)) {
    const statistic = op === "BatchNormalization" && index >= 3;
    const neutral = op.includes("Norm") && !named && constantValue(array, index === 1 ? 1 : 0);
    return !statistic && !neutral;
  }
  if (PRODUCTS.has(op)) return true;
  if (op === "Gather" || op === "Split" || op === "Slice") return index === 0;
  if (!AFFINE.has(op) || (sizeOf(array.shape) === 1 && !named)) return named;
  return !onlyAngles(node.outputs[0], uses);
}

const uniform = new WeakMap<StoredArray, number | null>();
/** Whether all values of an array are this one. */
function constantValue(array: StoredArray, value: number): boolean {
  if (array.location !== undefined) return false;
  let known = uniform.get(array);
  if (known === undefined) {
    const { data } = array.read();
    known = data.every((v) => v === data[0]) ? data[0] : null;
    uniform.set(array, known);
  }
  return known === value;
}

function onlyAngles(name: string, uses: Uses): boolean {
  const final = finalUses(name, uses, new Set([...MOVES, ...SCALES]));
  return final.length > 0 && final.every(({ node }) => node.op === "Sin" || node.op === "Cos");
}
