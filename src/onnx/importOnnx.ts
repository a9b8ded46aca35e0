// An ONNX model from elsewhere as a function on symbolic tensors: it can be differentiated and trained like our own.

import type { DType, Tensor } from "../graph/index.ts";
import { detach, type Places } from "./detach.ts";
import type { Attr, Described, OnnxFile, OnnxGraph, OnnxNode } from "./file.ts";
import { domainOf, readFile } from "./file.ts";
import { briefly, checkDescribed, countNode, DEEPEST, withinLimits } from "./limits.ts";
import { rules } from "./rules/index.ts";
import { checkSupport } from "./support.ts";
import type { ExternalData, StoredArray } from "./tensors.ts";
import { neededNodes, readAsFloats, tablePickedBy, weightsAmong } from "./uses.ts";
import { tensor, type Value } from "./value.ts";

export interface ImportOptions {
  /** The files beside the model that hold its large arrays, by the names the model gives them. */
  readonly externalData?: ExternalData;
  /** Sizes of dimensions that the file leaves open, by their name or as "input.axis". */
  readonly sizes?: Readonly<Record<string, number>>;
  /** Which arrays are weights, by name, where not the ones that what is done with them suggests. */
  readonly weights?: (name: string) => boolean;
  /** The values of the weights are not needed, so the files that hold them need not be there. */
  readonly withoutWeights?: boolean;
}

export interface OnnxParameter {
  readonly name: string;
  readonly shape: readonly number[];
  /** As float32, whatever the file's type is. */
  readonly data: Float32Array;
}

/** Gives the parameter of that name: slices of a vector in training, constants for a teacher. `Params` of nn is one. */
export type ParameterSource = (name: string, shape: readonly number[]) => Tensor;

export interface OnnxModel {
  /** What it is applied to. A size that is a name is fixed by the tensors given. */
  readonly inputs: readonly Described[];
  readonly outputs: readonly Described[];
  readonly parameters: readonly OnnxParameter[];
  /**
   * The outputs by name. Throws an Error for a missing, unknown or unfit input, and for a node that does not fit its
   * inputs, naming it.
   */
  apply(params: ParameterSource, inputs: Readonly<Record<string, Tensor>>): Record<string, Tensor>;
  /** Whether an integer input can be given as floats, because the model makes it floats at once. */
  takesFloats(input: string): boolean;
  /** Rows of the table that an input of labels picks from, or undefined. */
  tableRows(input: string): number | undefined;
  /** The file with its weights in the file `location`, from these bytes on. */
  detached(location: string, places?: Places): Uint8Array;
}

/**
 * Throws an Error for bytes that are no complete model, for external data that is missing, and one that lists everything
 * that is not supported.
 */
export function importOnnx(bytes: Uint8Array, options: ImportOptions = {}): OnnxModel {
  return briefly(() => imported(bytes, options));
}

function imported(bytes: Uint8Array, options: ImportOptions): OnnxModel {
  const file = readFile(bytes, options.externalData);
  const { graph } = file;
  const nodes = neededNodes(graph);
  checkSupport(nodes, file);
  const picked = options.weights;
  const weights = picked
    ? [...graph.arrays.values()].filter(({ name, dtype }) => dtype === "float32" && picked(name))
    : weightsAmong(graph, nodes);
  checkPresent(graph, options, new Set(options.withoutWeights ? weights : []));
  const names = new Map(weights.map((w) => [w.name, w]));
  const fixed = new Map<string, Value>();
  const inputs = graph.inputs.map((x) => sized(x, options.sizes ?? {}));
  return {
    inputs,
    outputs: graph.outputs,
    parameters: weights.map((w) => ({
      name: w.name,
      shape: w.shape,
      get data() {
        const { data } = w.read();
        return data instanceof Float32Array ? data : Float32Array.from(data);
      },
    })),
    takesFloats: (name) => readAsFloats(name, nodes),
    tableRows: (name) => tablePickedBy(name, graph, nodes)?.shape[0],
    detached: (location, places) => detach(file.proto, names, graph.arrays, location, places),
    apply(params, given) {
      return briefly(() => {
        checkInputs(inputs, given, (name) => readAsFloats(name, nodes));
        const scope: Scope = (name) => {
          const weight = names.get(name);
          if (weight) return params(name, weight.shape);
          const known = fixed.get(name) ?? given[name] ?? graph.arrays.get(name)?.read();
          // Arrays that are not weights are read once, so that they become one constant.
          if (known && !(name in given)) fixed.set(name, known);
          return known;
        };
        const values = withinLimits(() => evaluate(file, graph, nodes, scope, 0));
        return Object.fromEntries(graph.outputs.map(({ name }, i) => [name, tensor(values[i])]));
      });
    },
  };
}

/** Which arrays lie in which file beside the model. */
export function externalFiles(bytes: Uint8Array): ReadonlyMap<string, readonly string[]> {
  const files = new Map<string, string[]>();
  for (const { name, location } of briefly(() => readFile(bytes)).graph.arrays.values())
    if (location !== undefined) files.set(location, [...(files.get(location) ?? []), name]);
  return files;
}

type Scope = (name: string) => Value | undefined;

/** The outputs of a graph; `outer` knows what is not computed in it. */
function evaluate(file: OnnxFile, graph: OnnxGraph, nodes: readonly OnnxNode[], outer: Scope, depth: number): Value[] {
  const values = new Map<string, Value>();
  const scope: Scope = (name) => values.get(name) ?? outer(name);
  run(file, nodes, values, scope, new Map(), depth);
  return graph.outputs.map(({ name }) => lookup(scope, name, "output"));
}

/** Attributes given to the function that the nodes are in, if they are in one. */
type FunctionAttrs = ReadonlyMap<string, Attr>;

function run(
  file: OnnxFile,
  nodes: readonly OnnxNode[],
  values: Map<string, Value>,
  scope: Scope,
  given: FunctionAttrs,
  depth: number,
): void {
  if (depth > DEEPEST)
    throw new Error(`The model nests functions and branches more than ${DEEPEST} deep; that is the limit.`);
  for (const node of nodes) {
    countNode();
    const inputs = node.inputs.map((name) =>
      name === "" ? undefined : lookup(scope, name, `input of "${node.name}"`),
    );
    const attrs = resolved(node.attrs, given);
    const outputs = inNode(node, () => {
      const made = step(file, node, inputs, attrs, scope, depth);
      for (const y of made) checkDescribed(y.shape);
      return made;
    });
    node.outputs.forEach((name, i) => {
      if (name !== "" && outputs[i] !== undefined) values.set(name, outputs[i]);
    });
  }
}

function step(
  file: OnnxFile,
  node: OnnxNode,
  inputs: readonly (Value | undefined)[],
  attrs: ReadonlyMap<string, Attr>,
  scope: Scope,
  depth: number,
): readonly Value[] {
  const inside = file.functions.get(node.op);
  if (inside) {
    const values = new Map<string, Value>();
    inside.inputs.forEach((name, i) => {
      const x = inputs[i];
      if (x) values.set(name, x);
    });
    run(file, inside.nodes, values, (name) => values.get(name), new Map([...inside.defaults, ...attrs]), depth + 1);
    return inside.outputs.map((name) => lookup((n) => values.get(n), name, `output of the function ${node.op}`));
  }
  const result = rules[node.op].apply({
    node,
    inputs,
    attrs,
    opset: file.opsets.get(domainOf(node.op)) ?? 1,
    inner(graph) {
      const nodes = neededNodes(graph);
      checkSupport(nodes, file);
      return evaluate(file, graph, nodes, (name) => graph.arrays.get(name)?.read() ?? scope(name), depth + 1);
    },
  });
  return isList(result) ? result : [result];
}
const isList = (x: Value | readonly Value[]): x is readonly Value[] => Array.isArray(x);

const resolved = (attrs: ReadonlyMap<string, Attr>, given: FunctionAttrs): ReadonlyMap<string, Attr> =>
  new Map(
    [...attrs].flatMap(([name, value]): [string, Attr][] => {
      if (typeof value !== "object" || !("ref" in value)) return [[name, value]];
      const actual = given.get(value.ref);
      return actual === undefined ? [] : [[name, actual]];
    }),
  );

function lookup(scope: Scope, name: string, what: string): Value {
  const found = scope(name);
  if (!found) throw new Error(`The model has no value "${name}", which is the ${what}. The file may be damaged.`);
  return found;
}

function inNode<T>(node: OnnxNode, make: () => T): T {
  try {
    return make();
  } catch (cause) {
    // Rules take for granted what every valid node has.
    const missing = "an input or attribute that it needs is missing, or of another kind.";
    const why = cause instanceof TypeError ? missing : cause instanceof Error ? cause.message : String(cause);
    // What lies within a node names itself already.
    if (why.startsWith("The ")) throw cause;
    throw new Error(`The node "${node.name}" (${node.op}) does not fit its inputs: ${why}`, { cause });
  }
}

const sized = (x: Described, sizes: Readonly<Record<string, number>>): Described => ({
  ...x,
  shape: x.shape.map((d, i) => (typeof d === "number" ? d : (sizes[d] ?? sizes[`${x.name}.${i}`] ?? d))),
});

function checkPresent({ arrays }: OnnxGraph, { externalData }: ImportOptions, spared: ReadonlySet<StoredArray>): void {
  const missing = new Set<string>();
  for (const array of arrays.values())
    if (array.location !== undefined && !spared.has(array) && !externalData?.has(array.location))
      missing.add(array.location);
  if (missing.size > 0)
    throw new Error(
      `The model keeps arrays in ${[...missing].map((name) => `"${name}"`).join(", ")}, which ${missing.size === 1 ? "was" : "were"} not given; put ${missing.size === 1 ? "it" : "them"} beside the model.`,
    );
}

function checkInputs(
  inputs: readonly Described[],
  given: Readonly<Record<string, Tensor>>,
  takesFloats: (name: string) => boolean,
): void {
  const unknown = Object.keys(given).find((name) => !inputs.some((x) => x.name === name));
  const names = inputs.map((x) => `"${x.name}"`).join(", ");
  if (unknown !== undefined) throw new RangeError(`The model has no input "${unknown}"; it has ${names}.`);
  const lacking = inputs.filter(({ name }) => !given[name]).map((x) => `"${x.name}" [${x.shape}]`);
  if (lacking.length > 0) throw new RangeError(`The model's inputs ${lacking.join(", ")} were not given.`);
  const sizes = new Map<string, number>();
  for (const { name, shape, dtype } of inputs) {
    const x = given[name];
    if (!fits(x.dtype, dtype, () => takesFloats(name)))
      throw new TypeError(`The model's input "${name}" is of ${dtype}, but was given as ${x.dtype}.`);
    const ok =
      x.shape.length === shape.length &&
      shape.every((d, i) => (typeof d === "number" ? d : (sizes.get(d) ?? x.shape[i])) === x.shape[i]);
    if (!ok)
      throw new RangeError(
        `The model's input "${name}" has shape [${shape.map((d) => (typeof d === "number" ? d : `${d}${sizes.has(d) ? ` = ${sizes.get(d)}` : ""}`)).join(", ")}], but was given as [${x.shape.join(", ")}].`,
      );
    shape.forEach((d, i) => {
      if (typeof d === "string") sizes.set(d, x.shape[i]);
    });
  }
}
const fits = (have: DType, want: DType, takesFloats: () => boolean): boolean =>
  have === want || (have === "float32" && want === "int64" && takesFloats());
