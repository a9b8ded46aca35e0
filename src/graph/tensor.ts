// A symbolic tensor: a value in a graph that has not been computed. It has a shape and a type, no data.

import type { Emitter } from "./emitter.ts";

export type DType = "float32" | "int64" | "bool";
export type Shape = readonly number[];
export type Attrs = Readonly<Record<string, number | string | boolean | readonly number[] | null>>;
/** Where a number is given for a tensor it means a float32 scalar. */
export type Operand = Tensor | number;

export interface Tensor {
  readonly id: number;
  readonly shape: Shape;
  readonly dtype: DType;
  readonly source: Source;
}

export type Source =
  | { readonly kind: "input"; readonly name: string; readonly part?: Part }
  | { readonly kind: "constant"; readonly data: TensorData }
  | { readonly kind: "external"; readonly place: ExternalPlace }
  | { readonly kind: "output"; readonly node: Node; readonly index: number };

/** A piece of a vector that is fed whole. */
export interface Part {
  readonly of: string;
  readonly offset: number;
  /** Values in the whole vector. */
  readonly total: number;
}

export type TensorData = Float32Array | BigInt64Array | Uint8Array;

/** Where float32 values (little-endian) of a constant lie in a file that is read when the program is compiled. */
export interface ExternalPlace {
  /** Where the locations begin: one for all of a program. */
  readonly folder: string;
  /** The file, from there, with `/` between folders. */
  readonly location: string;
  /** The first byte: a multiple of 4. */
  readonly offset: number;
  /** Tells this state of the file from later ones (its size and time, say): programs of different states are not shared. */
  readonly version?: string;
}

/** One application of an operator, with its rules already bound to its attributes. */
export interface Node {
  readonly id: number;
  readonly op: string;
  readonly attrs: Attrs;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  emit(to: Emitter, inputs: readonly string[]): string[];
  /** Cotangents of the outputs (null: zero) to cotangents of the inputs; `need[i]` false: input i is not asked for. */
  vjp(cotangents: readonly (Tensor | null)[], need: readonly boolean[]): (Tensor | null)[];
  /** Tangents of the inputs (null: zero) to tangents of the outputs. */
  jvp(tangents: readonly (Tensor | null)[]): (Tensor | null)[];
  /** What the outputs stand for, where the node is a boundary around others: see checkpoint.ts. */
  readonly inside?: readonly Tensor[];
  /** Whether the nodes inside share nothing with those outside: what both need is computed twice. */
  readonly apart?: boolean;
}

export interface Typed {
  readonly shape: Shape;
  readonly dtype: DType;
}

export interface Operator<A extends Attrs> {
  readonly name: string;
  /** Shapes and types of the outputs; throws a sentence where the inputs do not fit. */
  infer(inputs: readonly Tensor[], attrs: A): Typed[];
  /** The ONNX nodes on the emitter's device; returns the names of the outputs. */
  emit(to: Emitter, inputs: readonly string[], attrs: A, node: Node): string[];
  vjp?(ct: readonly (Tensor | null)[], node: Node, attrs: A, need: readonly boolean[]): (Tensor | null)[];
  /** "linear": linear in all float inputs together; "multilinear": linear in each of them separately. */
  jvp:
    | "linear"
    | "multilinear"
    | "none"
    | ((tangents: readonly (Tensor | null)[], node: Node, attrs: A) => (Tensor | null)[]);
}

let nextId = 0;
/** Larger than the id of everything made before. */
export const newId = (): number => nextId++;

/** Turns the declaration of an operator into the function that applies it. */
export function operator<A extends Attrs>(
  def: Operator<A>,
): (inputs: readonly Tensor[], attrs: A) => readonly Tensor[] {
  const apply = (inputs: readonly Tensor[], attrs: A): readonly Tensor[] => {
    const types = def.infer(inputs, attrs);
    const outputs: Tensor[] = [];
    const node: Node = {
      id: nextId++,
      op: def.name,
      attrs,
      inputs,
      outputs,
      emit: (to, names) => def.emit(to, names, attrs, node),
      vjp: (ct, need) => {
        if (!def.vjp) throw new Error(`The operator "${def.name}" has no gradient (vjp rule).`);
        return def.vjp(ct, node, attrs, need);
      },
      jvp: (tangents) => forward(def, apply, tangents, node, attrs),
    };
    types.forEach((type, index) => {
      outputs.push({ id: nextId++, ...type, source: { kind: "output", node, index } });
    });
    return outputs;
  };
  return apply;
}

function forward<A extends Attrs>(
  def: Operator<A>,
  apply: (inputs: readonly Tensor[], attrs: A) => readonly Tensor[],
  tangents: readonly (Tensor | null)[],
  node: Node,
  attrs: A,
): (Tensor | null)[] {
  if (typeof def.jvp === "function") return def.jvp(tangents, node, attrs);
  if (def.jvp === "none") return node.outputs.map(() => null);
  if (def.jvp === "linear") {
    const filled = node.inputs.map((x, i) => (x.dtype === "float32" ? (tangents[i] ?? zerosLike(x)) : x));
    return [...apply(filled, attrs)];
  }
  let total: Tensor[] | null = null;
  tangents.forEach((tangent, i) => {
    if (!tangent) return;
    const part = apply(
      node.inputs.map((x, j) => (i === j ? tangent : x)),
      attrs,
    );
    total = total ? total.map((sum, k) => addTangents(sum, part[k])) : [...part];
  });
  return total ?? node.outputs.map(() => null);
}

/** Set by pointwise.ts, which cannot be imported here without a cycle at load time. */
let addTangents: (a: Tensor, b: Tensor) => Tensor = () => {
  throw new Error("The operators are not loaded: import from graph/index.ts.");
};
export function registerAdd(add: (a: Tensor, b: Tensor) => Tensor): void {
  addTangents = add;
}

/** A value that is given at every run. Names are unique within a program. */
export function input(name: string, shape: Shape, dtype: DType = "float32"): Tensor {
  return { id: nextId++, shape: checkShape(shape), dtype, source: { kind: "input", name } };
}

/** A float32 vector that is fed whole and read in consecutive pieces of these shapes, without a copy. */
export function inputParts(name: string, shapes: readonly Shape[]): readonly Tensor[] {
  const total = shapes.reduce((n, shape) => n + sizeOf(shape), 0);
  let offset = 0;
  return shapes.map((shape, i) => {
    const part: Part = { of: name, offset, total };
    offset += sizeOf(shape);
    return { ...input(`${name}.${i}`, shape), source: { kind: "input", name: `${name}.${i}`, part } };
  });
}

/** A value that is part of the program: teachers' weights, tables. A number array becomes float32. */
export function constant(data: TensorData | readonly number[] | number, shape?: Shape): Tensor {
  const array = typeof data === "number" ? Float32Array.of(data) : isArray(data) ? Float32Array.from(data) : data;
  const dims = checkShape(shape ?? (typeof data === "number" ? [] : [array.length]));
  if (sizeOf(dims) !== array.length)
    throw new RangeError(`A constant of shape [${dims}] needs ${sizeOf(dims)} values, but ${array.length} were given.`);
  const dtype: DType = array instanceof Float32Array ? "float32" : array instanceof Uint8Array ? "bool" : "int64";
  return { id: nextId++, shape: dims, dtype, source: { kind: "constant", data: array } };
}

/**
 * A float32 constant whose values stay in a file, outside the program: weights of any size, read from the disk's cache
 * and not copied. Throws RangeError for an offset that float32 values cannot have.
 */
export function external(place: ExternalPlace, shape: Shape): Tensor {
  if (!Number.isSafeInteger(place.offset) || place.offset < 0 || place.offset % 4 !== 0)
    throw new RangeError(
      `Values of ${place.location} begin at byte ${place.offset}, expected a multiple of 4: write the file again.`,
    );
  return { id: nextId++, shape: checkShape(shape), dtype: "float32", source: { kind: "external", place } };
}

/** Whether the values are part of the program, or of a file that it names. */
export const isConstant = ({ source }: Tensor): boolean => source.kind === "constant" || source.kind === "external";

function isArray(data: TensorData | readonly number[]): data is readonly number[] {
  return Array.isArray(data);
}

/** Zeros of this shape. */
export const zeros = (shape: Shape): Tensor => full(shape, 0);
/** Zeros of the shape of x. */
export const zerosLike = (x: Tensor): Tensor => zeros(x.shape);

/** A constant scalar that broadcasts; stored once, whatever the shape. */
export function full(shape: Shape, value: number): Tensor {
  return broadcastConstant(constant(value), shape);
}
let broadcastConstant: (x: Tensor, shape: Shape) => Tensor = (x) => x;
export function registerBroadcast(broadcast: (x: Tensor, shape: Shape) => Tensor): void {
  broadcastConstant = broadcast;
}

/** A number as a constant scalar, a tensor as it is. */
export const asTensor = (x: Operand): Tensor => (typeof x === "number" ? constant(x) : x);

/** How many values a shape has. */
export const sizeOf = (shape: Shape): number => shape.reduce((a, b) => a * b, 1);

export const sameShape = (a: Shape, b: Shape): boolean => a.length === b.length && a.every((d, i) => d === b[i]);

function checkShape(shape: Shape): Shape {
  for (const d of shape)
    if (!Number.isInteger(d) || d < 0)
      throw new RangeError(`Shape [${shape}]: every dimension must be a non-negative integer.`);
  return [...shape];
}

/** A negative axis counts from the end. */
export function axisOf(x: Tensor, axis: number, op: string): number {
  const a = axis < 0 ? axis + x.shape.length : axis;
  if (!Number.isInteger(axis) || a < 0 || a >= x.shape.length)
    throw new RangeError(`${op}: axis ${axis} does not exist in shape [${x.shape}].`);
  return a;
}

export function expectFloat(op: string, ...xs: readonly Tensor[]): void {
  for (const x of xs)
    if (x.dtype !== "float32") throw new TypeError(`${op}: expected a float32 tensor, got ${x.dtype} [${x.shape}].`);
}

/** NumPy's broadcasting of two shapes. */
export function broadcastShapes(a: Shape, b: Shape, op: string): Shape {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const x = a[i - rank + a.length] ?? 1;
    const y = b[i - rank + b.length] ?? 1;
    if (x !== y && x !== 1 && y !== 1) throw new RangeError(`${op}: shapes [${a}] and [${b}] do not broadcast.`);
    return x === 1 ? y : x;
  });
}
