// A sampler as one graph: every step in it, its times as constants. And one evaluation of a network by itself. For other
// runtimes, which get the numbers that fewstep's own sampler gives.

import type { Clock } from "../clock.ts";
import type { Cond } from "../condition.ts";
import { type Form, type Grid, startScale } from "../core/index.ts";
import { add, constant, input, mul, sizeOf, type Tensor } from "../graph/index.ts";
import { guided } from "../model.ts";
import type { Network } from "../nn/network.ts";
import type { Params } from "../nn/params.ts";
import { dataRow, read } from "../pair.ts";
import type { NetModel } from "../recipes/recipe.ts";
import { solve } from "../solve.ts";
import { diffuse } from "../solvers/consistency.ts";

/** The solvers that can be unrolled: those that cards name, but heun. */
export const unrolledSolvers = ["ddim", "euler", "dpm++2m", "lcm"] as const;
export type UnrolledSolver = (typeof unrolledSolvers)[number];

/** The same time for every sample, known when the graph is made. */
const fixed = (batch: number, t: number): Clock => {
  const column = (value: number, rank: number) =>
    constant(new Float32Array(batch).fill(value), [batch, ...new Array<number>(rank - 1).fill(1)]);
  return {
    batch,
    column: (f, rank) => column(f(t), rank),
    with: (others, f, rank) => column(f(t, ...others.map((other) => other.shows({}))), rank),
    at: (move) => fixed(batch, move(t)),
    moving() {
      throw new Error("Times that are constants do not move.");
    },
    shows: () => t,
  };
};

/** Inputs of conditions that come with data, called as diffusers calls them. */
const conditionInputs = ({ conditions }: Pick<NetModel, "conditions">, batch: number): Cond =>
  Object.fromEntries(
    Object.entries(conditions)
      .filter(([, { given }]) => given === "data")
      .map(([name, { shape, dtype }]) => [
        name,
        input(name === "labels" ? "class_labels" : name, [batch, ...shape], dtype),
      ]),
  );

export interface UnrollOptions {
  /** Samples that the graph makes at once. */
  readonly batch: number;
  /** Falling times, the last of which is 0. */
  readonly times: Grid;
  readonly solver: UnrolledSolver;
  /** null + g·(conditional − null); 1 is none. */
  readonly guidance: number;
}

/**
 * The sample [batch, ...sampleShape] that the inputs lead to: "noise", standard normal; "class_labels" [batch] and other
 * conditions of the model; with lcm "noise_1", … for the steps after the first. Throws a RangeError for guidance of a model
 * without conditions.
 */
export function unroll(model: NetModel, params: Params, { batch, times, solver, guidance }: UnrollOptions): Tensor {
  const { form, conditions, sampleShape } = model;
  const told = conditions.guidance !== undefined;
  const asked = told ? model : guided(model, guidance);
  const shape = [batch, ...sampleShape];
  const given = conditionInputs(model, batch);
  const noise = (name: string) => input(name, shape);
  const scale = startScale(form, times[0]);
  const clocks = times.map((t) => fixed(batch, t));
  const conds = clocks.slice(0, -1).map(
    (clock, k): Cond => ({
      ...given,
      ...(told ? { guidance: clock.column(() => guidance - 1, 1) } : {}),
      ...(conditions.span ? { span: clock.with([clocks[k + 1]], (t, next) => t - next, 1) } : {}),
    }),
  );
  const start = scale === 1 ? noise("noise") : mul(noise("noise"), scale);
  // What a network is told of a step cannot change within a solve of several.
  if (solver === "dpm++2m") return solve(asked, params, start, clocks, conds[0], solver);
  let x = start;
  for (let k = 0; k + 1 < times.length; k++) {
    const seen = predictAt(asked, params, x, clocks[k], conds[k]);
    x = step(solver, form, { seen, x, clocks, k, noise });
  }
  return x;
}

const predictAt = (model: NetModel, params: Params, x: Tensor, clock: Clock, cond: Cond) => ({
  clock,
  a: x,
  rowA: model.form.at,
  b: model.apply(params, x, clock, cond),
  rowB: (t: number) => model.prediction.row(model.form, t),
});

interface StepParts {
  readonly seen: ReturnType<typeof predictAt>;
  readonly x: Tensor;
  readonly clocks: readonly Clock[];
  readonly k: number;
  readonly noise: (name: string) => Tensor;
}

function step(solver: "ddim" | "euler" | "lcm", form: Form, { seen, x, clocks, k, noise }: StepParts): Tensor {
  const next = clocks[k + 1];
  const [t, to, end] = [clocks[k], next, clocks[clocks.length - 1]].map((clock) => clock.shows({}));
  if (solver === "ddim") return read(seen, form.at, next);
  if (solver === "euler") return add(x, mul(read(seen, form.rate), to - t));
  const landed = end === 0 ? read(seen, dataRow) : read(seen, form.at, clocks[clocks.length - 1]);
  if (to === end) return landed;
  const [kept, fresh] = diffuse(form.at(end), form.at(to));
  return add(mul(landed, kept), mul(noise(`noise_${k + 1}`), fresh));
}

/**
 * One evaluation of the network, as it is: inputs "sample" [batch, ...sampleShape], "timestep" [batch] (what it is told of
 * the time), "class_labels" [batch] and its other conditions.
 */
export function evaluateOnce(network: Network, params: Params, batch: number): Tensor {
  const cond = Object.fromEntries(
    Object.entries(network.conditions).map(([name, { shape, dtype }]) => [
      name,
      input(name === "labels" ? "class_labels" : name, [batch, ...shape], dtype),
    ]),
  );
  return network.apply(params, input("sample", [batch, ...network.sampleShape]), input("timestep", [batch]), cond);
}

/** Bytes of parameters: a model.onnx that holds them can be no larger than 2 GiB. */
export const parameterBytes = (spec: readonly { readonly shape: readonly number[] }[]): number =>
  spec.reduce((sum, { shape }) => sum + 4 * sizeOf(shape), 0);
