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
    let list = true;
    const outputs = enclosed(() => {
      const made: Result = f(...xs);
      list = isList(made);
      return isList(made) ? made : [made];
    }, false);
    return (list ? outputs : outputs[0]) as Result as R;
  };
}

/** The same for one value, of which forward mode shares nothing with the value either: it too is computed apart. */
export const recomputed = (f: () => Tensor): Tensor => enclosed(() => [f()], false, { tangentApart: true })[0];

/** What f makes, computed apart: it shares nothing with what surrounds it, and is computed at one time. */
export const apart = (f: () => readonly Tensor[]): readonly Tensor[] => enclosed(f, true);

/** The value of f, with another way to the gradient: `backward` makes it of the value's cotangent, and of the value. */
export const withGradient = (f: () => Tensor, backward: Backward): Tensor =>
  enclosed(() => [f()], false, { backward })[0];

/** The cotangents of `wanted`, some of what the function reads. */
type Backward = (ct: Tensor, y: Tensor, wanted: readonly Tensor[]) => readonly Tensor[];
interface Rules {
  readonly backward?: Backward;
  readonly tangentApart?: boolean;
}

function enclosed(f: () => readonly Tensor[], apart: boolean, rules?: Rules): readonly Tensor[] {
  const start = newId();
  return enclose(f(), (x) => x.id < start, apart, rules);
}

const isList = (x: Result): x is readonly Tensor[] => Array.isArray(x);

/** Tensors that stand for `inside`, behind a boundary; those that were made outside are returned as they are. */
function enclose(
  inside: readonly Tensor[],
  outside: (x: Tensor) => boolean,
  apart: boolean,
  rules: Rules = {},
): readonly Tensor[] {
  const isOutside = (x: Tensor) => x.source.kind !== "output" || outside(x);
  const made = inside.filter((x) => !isOutside(x));
  const inputs = new Set<Tensor>();
  for (const node of topological(made, (x) => (isOutside(x) ? null : x)))
    for (const x of node.inputs) if (isOutside(x)) inputs.add(x);
  const outputs = boundary(made, [...inputs], apart, rules);
  let next = 0;
  return inside.map((x) => (isOutside(x) ? x : outputs[next++]));
}

/**
 * Both derivatives differentiate the inside and put the result behind a boundary of its own. The backward pass stands
 * apart: it cannot use what the forward pass computed, so nothing has to be kept for it.
 */
function boundary(
  inside: readonly Tensor[],
  inputs: readonly Tensor[],
  apart: boolean,
  { backward, tangentApart = apart }: Rules,
): readonly Tensor[] {
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
      const differentiated = () => {
        const found = vjp(
          given.map(({ y }) => y),
          cts,
          wanted,
          inputs,
        );
        const ends = new Set([...inputs, ...cts]);
        return enclose(found, (x) => ends.has(x), true);
      };
      const behind = backward ? backward(cts[0], outputs[0], wanted) : differentiated();
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
      const behind = enclose(found, (x) => ends.has(x), tangentApart);
      return inside.map((y, i) => (y.dtype === "float32" ? behind[i] : null));
    },
  };
  inside.forEach(({ shape, dtype }, index) => {
    outputs.push({ id: newId(), shape, dtype, source: { kind: "output", node, index } });
  });
  return outputs;
}
