// Rematerialization ("gradient checkpointing", Chen et al. 2016): the inside of a function is not kept for the backward
// pass but computed again there, from the function's inputs.

import { jvp, vjp } from "./autodiff.ts";
import { type Node, newId, type Tensor } from "./tensor.ts";
import { topological } from "./walk.ts";

type Result = Tensor | readonly Tensor[];

/**
 * f with the same value and derivatives, of which the backward pass keeps nothing but the inputs: the arguments, and
 * whatever else f reads that was made before. The forward program is the one of f.
 */
export function checkpoint<R extends Result>(f: (...xs: Tensor[]) => R): (...xs: Tensor[]) => R {
  return (...xs) => {
    const start = newId();
    const made: Result = f(...xs);
    const outputs = enclose(isList(made) ? made : [made], (x) => x.id < start, false);
    return (isList(made) ? outputs : outputs[0]) as Result as R;
  };
}

const isList = (x: Result): x is readonly Tensor[] => Array.isArray(x);

/** Tensors that stand for `inside`, behind a boundary; those that were made outside are returned as they are. */
function enclose(inside: readonly Tensor[], outside: (x: Tensor) => boolean, apart: boolean): readonly Tensor[] {
  const isOutside = (x: Tensor) => x.source.kind !== "output" || outside(x);
  const made = inside.filter((x) => !isOutside(x));
  const inputs = new Set<Tensor>();
  for (const node of topological(made, (x) => (isOutside(x) ? null : x)))
    for (const x of node.inputs) if (isOutside(x)) inputs.add(x);
  const outputs = boundary(made, [...inputs], apart);
  let next = 0;
  return inside.map((x) => (isOutside(x) ? x : outputs[next++]));
}

/**
 * Both derivatives differentiate the inside and put the result behind a boundary of its own. The backward pass stands
 * apart: it cannot use what the forward pass computed, so nothing has to be kept for it.
 */
function boundary(inside: readonly Tensor[], inputs: readonly Tensor[], apart: boolean): readonly Tensor[] {
  const outputs: Tensor[] = [];
  const node: Node = {
    id: newId(),
    op: "checkpoint",
    attrs: {},
    inputs,
    outputs,
    inside,
    apart,
    emit: () => {
      throw new Error("A checkpoint is not emitted, but what is inside.");
    },
    vjp: (cotangents, need) => {
      const given = cotangents.flatMap((ct, i) => (ct ? [{ ct, y: inside[i] }] : []));
      const wanted = inputs.filter((_, i) => need[i]);
      const cts = given.map(({ ct }) => ct);
      const found = vjp(
        given.map(({ y }) => y),
        cts,
        wanted,
        inputs,
      );
      const ends = new Set([...inputs, ...cts]);
      const behind = enclose(found, (x) => ends.has(x), true);
      return inputs.map((x, i) => (need[i] ? behind[wanted.indexOf(x)] : null));
    },
    jvp: (tangents) => {
      const moved = inputs.flatMap((x, i) => (tangents[i] ? [{ x, dx: tangents[i] }] : []));
      const dxs = moved.map(({ dx }) => dx);
      const found = jvp(
        inside,
        moved.map(({ x }) => x),
        dxs,
        inputs,
      );
      const ends = new Set([...inputs, ...dxs]);
      const behind = enclose(found, (x) => ends.has(x), apart);
      return inside.map((y, i) => (y.dtype === "float32" ? behind[i] : null));
    },
  };
  inside.forEach(({ shape, dtype }, index) => {
    outputs.push({ id: newId(), shape, dtype, source: { kind: "output", node, index } });
  });
  return outputs;
}
