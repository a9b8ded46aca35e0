// From a network and its weights to a start.

import { classCount, nullLabel } from "../condition.ts";
import type { TimeInput } from "../model.ts";
import type { Network } from "../nn/network.ts";
import { fromConstants, type ParamSpec, unflatten } from "../nn/params.ts";
import type { SamplerSpec } from "../run/card.ts";
import { evenly } from "./parts.ts";
import type { NetModel, Start, Teacher } from "./recipe.ts";

export interface StartParts {
  readonly model: NetModel;
  readonly network: Network;
  readonly timeInput: TimeInput;
  readonly spec: readonly ParamSpec[];
  /** [P] */
  readonly theta: Float32Array;
  /** How it is sampled; default 50 steps of ddim. */
  readonly sampler?: SamplerSpec;
}

/** Its weights as constants, for what asks it, and as a vector, for what trains it further. */
export const startOf = ({ sampler = evenly([50]), ...parts }: StartParts): Start => ({
  ...parts,
  sampler,
  params: fromConstants(unflatten(parts.spec, parts.theta)),
});

/**
 * A start whose student does not begin as its teacher: under the teacher's constants the model is the teacher, under any
 * other parameters it is the student's network. `asked` tells this teacher from others.
 * Throws a RangeError with every difference between the two that a method could not bridge.
 */
export function startFrom(
  teacher: Teacher & { readonly sampler: SamplerSpec; readonly asked: string },
  student: StartParts,
): Start {
  const [theirs, own] = [teacher.model, student.model];
  const facts: readonly (readonly [what: string, teacher: string, student: string])[] = [
    ["samples of the shape", theirs.sampleShape.join(" x "), own.sampleShape.join(" x ")],
    ["the form", JSON.stringify(theirs.form.spec), JSON.stringify(own.form.spec)],
    ["the prediction", theirs.prediction.name, own.prediction.name],
    ["classes", classesOf(theirs), classesOf(own)],
  ];
  const apart = facts.filter(([, a, b]) => a !== b);
  if (apart.length > 0) {
    const said = apart.map(([what, a, b]) => `${what}: ${a} and ${b}`).join("; ");
    throw new RangeError(`Teacher and student differ in ${said}. Expected the same.`);
  }
  if (own.native || own.boundary)
    throw new RangeError("The student is read in another form than its network's own. Expected one that is not.");
  const { params } = teacher;
  const model: NetModel = {
    ...own,
    apply: (p, ...given) => (p === params ? theirs.apply(p, ...given) : own.apply(p, ...given)),
  };
  return { ...startOf({ ...student, model }), params, sampler: teacher.sampler, asked: teacher.asked };
}

const classesOf = ({ conditions }: NetModel): string =>
  `${classCount(conditions)}${nullLabel(conditions) === null ? "" : ` and "no class"`}`;
