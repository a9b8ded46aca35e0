// What a rule sees of the node it translates, and the form of a rule.

import type { DType, Tensor } from "../graph/index.ts";
import type { Attr, OnnxGraph, OnnxNode } from "./file.ts";
import type { Host } from "./host.ts";
import { isHost, tensor, type Value } from "./value.ts";

export interface Call {
  readonly node: OnnxNode;
  /** Version of the operators of the node's domain. */
  readonly opset: number;
  readonly inputs: readonly (Value | undefined)[];
  readonly attrs: ReadonlyMap<string, Attr>;
  /** Evaluates a graph that is an attribute of the node, with the values around it. */
  inner(graph: OnnxGraph): readonly Value[];
}

/** How one operator of ONNX becomes operators of ours. */
export interface Rule {
  /** The attributes that are understood; where a list is given, only with these values. */
  readonly attrs: Readonly<Record<string, "any" | readonly (number | string)[]>>;
  readonly apply: (call: Call) => Value | readonly Value[];
}
export type Rules = Readonly<Record<string, Rule>>;

/** Attributes that are true or false: what another number would mean is not said, and runtimes do not agree. */
const booleans = [
  ...["allowzero", "ceil_mode", "count_include_pad", "exclusive", "fmod", "is_causal", "keepdims"],
  ...["noop_with_empty_axes", "reverse", "saturate", "transA", "transB", "upper"],
];

/** A rule with attributes that may have any value (0 or 1 where they are true or false), and some that may have only certain ones. */
export function rule(
  known: string,
  apply: Rule["apply"],
  only: Readonly<Record<string, readonly (number | string)[]>> = {},
): Rule {
  const any = known.split(" ").filter((name) => name !== "");
  return {
    attrs: {
      ...Object.fromEntries(any.map((name) => [name, booleans.includes(name) ? [0, 1] : ("any" as const)])),
      ...only,
    },
    apply,
  };
}

export function value({ inputs, node }: Call, i: number): Value {
  const x = inputs[i];
  if (x === undefined) throw new RangeError(`its input ${i} is missing; it has ${node.inputs.length}.`);
  return x;
}
/** Input i as a tensor. */
export const at = (call: Call, i: number): Tensor => tensor(value(call, i));
export const maybe = ({ inputs }: Call, i: number): Tensor | undefined => {
  const x = inputs[i];
  return x && tensor(x);
};

/** Input i, whose values must follow from shapes and constants. */
export function known(call: Call, i: number): Host {
  const x = value(call, i);
  if (isHost(x)) return x;
  throw new RangeError(
    `its input ${i} ("${call.node.inputs[i]}") is computed from the model's inputs or weights, but here it must follow from shapes and constants alone.`,
  );
}
export const knownInts = (call: Call, i: number): number[] => Array.from(known(call, i).data);
/** Input i, or the attribute of that name: many attributes became inputs in later versions. */
export const intsFrom = (call: Call, i: number, name: string): number[] | undefined => {
  if (call.inputs[i] !== undefined) return knownInts(call, i);
  return call.attrs.has(name) ? [...ints(call, name, [])] : undefined;
};

export function int({ attrs }: Call, name: string, missing: number): number {
  const x = attrs.get(name);
  if (x !== undefined && typeof x !== "number") throw otherKind(name, "a number");
  return x ?? missing;
}
export const number = int;
export function text({ attrs }: Call, name: string, missing: string): string {
  const x = attrs.get(name);
  if (x !== undefined && typeof x !== "string") throw otherKind(name, "a text");
  return x ?? missing;
}
export function ints({ attrs }: Call, name: string, missing: readonly number[]): readonly number[] {
  const x = attrs.get(name);
  if (x !== undefined && !isNumbers(x)) throw otherKind(name, "a list of numbers");
  return x ?? missing;
}
const otherKind = (name: string, expected: string): RangeError =>
  new RangeError(`its attribute "${name}" is of another kind, expected ${expected}.`);
const isNumbers = (x: Attr | undefined): x is readonly number[] =>
  Array.isArray(x) && x.every((v) => typeof v === "number");

export const isGraph = (x: Attr | undefined): x is OnnxGraph => typeof x === "object" && "nodes" in x;
export const isArray = (x: Attr | undefined): x is Host => typeof x === "object" && "data" in x;

/** Types of ONNX by number, as attributes give them. */
export const DTYPES: Readonly<Record<number, DType>> = {
  1: "float32",
  2: "int64",
  3: "int64",
  4: "int64",
  5: "int64",
  6: "int64",
  7: "int64",
  9: "bool",
  10: "float32",
  11: "float32",
  12: "int64",
  13: "int64",
  16: "float32",
};
