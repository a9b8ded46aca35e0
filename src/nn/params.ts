// Parameters: a network is a function of where its parameters come from.
import {
  constant,
  type ExternalPlace,
  external,
  input,
  inputParts,
  reshape,
  sizeOf,
  split,
  type Tensor,
} from "../graph/index.ts";
import { sameShape } from "../graph/tensor.ts";

/** How a parameter starts. "default" is PyTorch's uniform(+-1/sqrt(fan in)), fan in = product of shape[1..]. */
export type Init = "zeros" | "ones" | "default" | { readonly normal: number } | { readonly uniform: number };

/**
 * Gives the parameter of that name; layers call it. `tap`, when present, is shown every named activation. `remat`: blocks
 * are computed again in the backward pass; see remat.ts.
 */
export interface Params {
  (name: string, shape: readonly number[], init?: Init): Tensor;
  readonly tap?: (name: string, x: Tensor) => void;
  readonly remat?: boolean;
}

export interface ParamSpec {
  readonly name: string;
  readonly shape: readonly number[];
  readonly init: Init;
}

/** A named array on the host. */
export interface ParamArray {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

export type ParamMap = ReadonlyMap<string, ParamArray>;

/** Number of values in all parameters. */
export const countParams = (spec: readonly ParamSpec[]): number => spec.reduce((n, s) => n + sizeOf(s.shape), 0);

/** Values of all parameters: 64 GiB as float32, some six times Stable Diffusion XL. */
const MOST_VALUES = 2 ** 34;
const MOST_PARAMETERS = 4_000;

/**
 * The parameters that `build` asks for, in order of first use. Throws RangeError if one name has two shapes, and as soon
 * as there are more than any machine here could train: a configuration of a few bytes can ask for that.
 */
export function collectParams(build: (p: Params) => unknown): ParamSpec[] {
  const specs = new Map<string, ParamSpec>();
  let total = 0;
  build((name, shape, init = "default") => {
    const known = specs.get(name);
    if (known && !sameShape(known.shape, shape))
      throw new RangeError(`Parameter ${name} is used with shape [${known.shape}] and with shape [${shape}].`);
    if (!known) {
      specs.set(name, { name, shape: [...shape], init });
      total += sizeOf(shape);
      if (total > MOST_VALUES || specs.size > MOST_PARAMETERS)
        throw new RangeError(
          `The network has more than ${total > MOST_VALUES ? `${MOST_VALUES} parameters` : `${MOST_PARAMETERS} arrays of parameters`}; that is the limit. Choose a smaller one.`,
        );
    }
    return input(name, shape);
  });
  return [...specs.values()];
}

/** Reads each parameter from the flat vector theta [countParams(spec)], in the order of spec. */
export function fromFlat(spec: readonly ParamSpec[], theta: Tensor): Params {
  const total = countParams(spec);
  if (theta.shape.length !== 1 || theta.shape[0] !== total)
    throw new RangeError(`The parameter vector has shape [${theta.shape}], expected [${total}] for this network.`);
  const parts = split(
    theta,
    spec.map((s) => sizeOf(s.shape)),
    0,
  );
  return fromTensors(new Map(spec.map((s, i) => [s.name, reshape(parts[i], s.shape)])));
}

/**
 * The flat vector as an input in parts: large parameters alone, small ones together with their neighbors. What is done
 * to a part at a time stays in the processor's cache, and nothing is copied to take the vector apart or to join it.
 */
export function inputVector(name: string, spec: readonly ParamSpec[]): readonly Tensor[] {
  return inputParts(
    name,
    groups(spec).map((group) => [countParams(group)]),
  );
}

/** Reads each parameter from the parts that `inputVector` made for the same spec. */
export function fromParts(spec: readonly ParamSpec[], parts: readonly Tensor[]): Params {
  const tensors = groups(spec).flatMap((group, i) => {
    const pieces = split(
      parts[i],
      group.map((s) => sizeOf(s.shape)),
      0,
    );
    return group.map((s, k): [string, Tensor] => [s.name, reshape(pieces[k], s.shape)]);
  });
  return fromTensors(new Map(tensors));
}

const LARGE = 2 ** 16;
function groups(spec: readonly ParamSpec[]): readonly (readonly ParamSpec[])[] {
  const all: ParamSpec[][] = [];
  for (const s of spec) {
    const last = all.at(-1);
    if (last && countParams(last) + sizeOf(s.shape) <= LARGE) last.push(s);
    else all.push([s]);
  }
  return all;
}

/** Reads each parameter from a map of tensors (inputs, say). Throws RangeError for a missing name or a wrong shape. */
export function fromTensors(tensors: ReadonlyMap<string, Tensor>): Params {
  return (name, shape) => {
    const found = tensors.get(name);
    if (!found) throw missing(name, shape);
    return checked(name, shape, found.shape, found);
  };
}

/** Parameters as constants: the right choice for everything that is not being trained. */
export function fromConstants(arrays: ParamMap): Params {
  const made = new Map<string, Tensor>();
  return (name, shape) => {
    const known = made.get(name);
    if (known) return checked(name, shape, known.shape, known);
    const array = arrays.get(name);
    if (!array) throw missing(name, shape);
    const tensor = checked(name, shape, array.shape, constant(array.data, [...array.shape]));
    made.set(name, tensor);
    return tensor;
  };
}

/** A named array in a file. */
export interface ExternalArray {
  readonly shape: readonly number[];
  readonly place: ExternalPlace;
}

/**
 * Parameters as constants that stay in files, outside the program: for networks that are too large to be held in it.
 * `held`: those that are in memory all the same, because they were converted or merged; they win.
 */
export function fromExternal(places: ReadonlyMap<string, ExternalArray>, held: ParamMap = new Map()): Params {
  const inMemory = fromConstants(held);
  const made = new Map<string, Tensor>();
  return (name, shape) => {
    if (held.has(name)) return inMemory(name, shape);
    const array = places.get(name);
    if (!array) throw missing(name, shape);
    const tensor = made.get(name) ?? external(array.place, [...array.shape]);
    made.set(name, tensor);
    return checked(name, shape, array.shape, tensor);
  };
}

/** The same parameters under a prefix: `within(p, "encoder.")("w", ..)` reads "encoder.w". */
export function within(p: Params, prefix: string): Params {
  return Object.assign<Params, Pick<Params, "tap" | "remat">>((name, shape, init) => p(prefix + name, shape, init), {
    tap: p.tap && ((name, x) => p.tap?.(prefix + name, x)),
    remat: p.remat,
  });
}

/** The same parameters with an observer of named activations. */
export function tapped(p: Params, tap: (name: string, x: Tensor) => void): Params {
  const { remat } = p;
  return Object.assign<Params, Pick<Params, "tap" | "remat">>((name, shape, init) => p(name, shape, init), {
    tap,
    remat,
  });
}

/** Shows an activation to the observer, if there is one, and returns it. */
export function seen(p: Params, name: string, x: Tensor): Tensor {
  p.tap?.(name, x);
  return x;
}

/** Packs named arrays into one vector in the order of spec. Names that spec lacks are an error: nothing is dropped. */
export function flatten(spec: readonly ParamSpec[], arrays: ParamMap): Float32Array {
  checkNames(spec, arrays.keys());
  const theta = new Float32Array(countParams(spec));
  let offset = 0;
  for (const { name, shape } of spec) {
    const array = arrays.get(name)!;
    theta.set(checked(name, shape, array.shape, array.data), offset);
    offset += array.data.length;
  }
  return theta;
}

/** The named arrays in theta, as copies. */
export function unflatten(spec: readonly ParamSpec[], theta: Float32Array): Map<string, ParamArray> {
  if (theta.length !== countParams(spec))
    throw new RangeError(`The parameter vector has ${theta.length} values, expected ${countParams(spec)}.`);
  let offset = 0;
  return new Map(
    spec.map(({ name, shape }) => {
      const data = theta.slice(offset, offset + sizeOf(shape));
      offset += data.length;
      return [name, { shape, data }];
    }),
  );
}

/** Throws RangeError unless `names` are exactly the names in spec. */
export function checkNames(spec: readonly ParamSpec[], names: Iterable<string>): void {
  const have = new Set(names);
  const want = new Set(spec.map((s) => s.name));
  const lacking = [...want].filter((n) => !have.has(n));
  const extra = [...have].filter((n) => !want.has(n));
  if (lacking.length)
    throw new RangeError(`The weights lack ${list(lacking)}; were they saved by a network with another configuration?`);
  if (extra.length)
    throw new RangeError(`The weights hold ${list(extra)}, which this network does not have; check its configuration.`);
}

const list = (names: readonly string[]) =>
  `${names.slice(0, 3).join(", ")}${names.length > 3 ? ` and ${names.length - 3} more` : ""}`;

function checked<T>(name: string, want: readonly number[], have: readonly number[], value: T): T {
  if (sameShape(want, have)) return value;
  throw new RangeError(`Parameter ${name} has shape [${have}], expected [${want}] from the network's configuration.`);
}

const missing = (name: string, shape: readonly number[]) =>
  new RangeError(`Parameter ${name} with shape [${shape}] is missing from the weights.`);
