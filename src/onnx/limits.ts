// How much what a file asks for may cost: a few bytes can name a size of billions. Checked before anything is allocated.

import { plain, sentenceOf } from "../core/show.ts";
import type { Shape } from "../graph/index.ts";
import { sizeOf } from "../graph/tensor.ts";

/** Values of one array that is computed while importing: 32 MiB as float32. */
const MOST_VALUES = 2 ** 23;
/** Of all arrays of one import. */
const MOST_TOGETHER = 2 ** 24;
/** Nodes that are evaluated, those of functions and branches each time they are run. */
const MOST_NODES = 2 ** 16;
/** Values of one tensor that is only described: 16 GiB as float32. */
const MOST_DESCRIBED = 2 ** 32;
const MOST_AXES = 32;
/** Parts that one node is split into: factors of a product, places of a window. */
const MOST_PARTS = 2 ** 12;
/** Graphs within graphs, functions within functions. */
export const DEEPEST = 32;

// What the evaluation under way has used; evaluations do not overlap.
let used = { values: 0, nodes: 0 };

/** Runs one evaluation of a model, which may use all of what is allowed. */
export function withinLimits<T>(evaluate: () => T): T {
  const outer = used;
  used = { values: 0, nodes: 0 };
  try {
    return evaluate();
  } finally {
    used = outer;
  }
}

/** The shape, unless an array of it is too large to be made while importing. Throws a RangeError with shape and limit. */
export function atMost(shape: Shape): Shape {
  checkDims(shape);
  const size = sizeOf(shape);
  if (size > MOST_VALUES)
    throw new RangeError(
      `it asks for ${size} values, shape ${shown(shape)}, while importing; at most ${MOST_VALUES} are made.`,
    );
  used.values += size;
  if (used.values > MOST_TOGETHER)
    throw new RangeError(
      `constants of more than ${MOST_TOGETHER} values would be made while importing; that is the limit.`,
    );
  return shape;
}

/** Counts a node. Throws a RangeError where functions and branches make too many of them. */
export function countNode(): void {
  used.nodes++;
  if (used.nodes > MOST_NODES)
    throw new RangeError(`The model has more than ${MOST_NODES} nodes, functions written out; that is the limit.`);
}

/** Throws a RangeError for a result that no machine would hold, or whose sizes are no sizes. */
export function checkDescribed(shape: Shape): void {
  checkDims(shape);
  if (sizeOf(shape) > MOST_DESCRIBED)
    throw new RangeError(
      `its result of shape ${shown(shape)} has ${sizeOf(shape)} values; at most ${MOST_DESCRIBED} are taken.`,
    );
}

function checkDims(shape: Shape): void {
  if (shape.length > MOST_AXES)
    throw new RangeError(`it has ${shape.length} axes; at most ${MOST_AXES} are supported.`);
  if (!shape.every((d) => Number.isInteger(d) && d >= 0))
    throw new RangeError(`its shape ${shown(shape)} is none; expected whole numbers of at least 0.`);
}

/** The number, unless a node would become too many of our own. Throws a RangeError that says of what. */
export function fewParts(count: number, what: string): number {
  if (count <= MOST_PARTS) return count;
  throw new RangeError(`it has ${count} ${what}; at most ${MOST_PARTS} are supported.`);
}

/** A shape in a message, cut off where it is long. */
export const shown = (shape: Shape): string =>
  `[${shape.slice(0, 8).join(", ")}${shape.length > 8 ? `, … ${shape.length - 8} more` : ""}]`;

/** What `make` gives; its errors on one line of at most 500 characters, so that names from the file cannot flood them. */
export function briefly<T>(make: () => T): T {
  try {
    return make();
  } catch (cause) {
    if (!(cause instanceof Error)) throw cause;
    const said = sentenceOf(plain(cause.message));
    if (said === cause.message) throw cause;
    throw new Error(said, { cause });
  }
}
