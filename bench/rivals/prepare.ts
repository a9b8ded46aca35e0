// A phase of a case on another engine: its program, ready to run as in a training loop.

import { input, mse, type Tensor } from "../../src/graph/index.ts";
import { fromTensors } from "../../src/nn/params.ts";
import { adamwDefaults, adamwScalars } from "../../src/optim/adamw.ts";
import { emaDecay } from "../../src/optim/ema.ts";
import { type Case, type Phase, split } from "../cases.ts";
import { learningRate } from "../ours.ts";
import { interpret } from "./interpret.ts";
import { type Layout, restore, store, storedAs, type Value } from "./layout.ts";
import type { Engine } from "./operators.ts";
import { clipAndUpdate, gradientNorm } from "./update.ts";

export interface RivalRun {
  /** Returns the milliseconds of what does not depend on the batch: clipping, optimizer and averaging. */
  run(): Promise<number>;
  /** As `Prepared.results` of ours. */
  results(): Promise<Float32Array[]>;
}

export function prepareRival<T>(e: Engine<T>, c: Case, phase: Phase, theta: Float32Array): RivalRun {
  const given = c.inputs();
  if (phase === "forward") delete given.target;
  const names = Object.keys(given);
  const inputs = Object.fromEntries(
    Object.entries(given).map(([name, { shape, data }]) => [
      name,
      input(`input:${name}`, shape, data instanceof Float32Array ? "float32" : "int64"),
    ]),
  );
  const parameters = fromTensors(new Map(c.spec.map((s) => [s.name, input(s.name, s.shape)])));
  const network: Tensor = c.apply(parameters, inputs);
  const output = phase === "forward" ? network : mse(network, inputs.target);
  const layoutOf = storedAs(output, e.operators.channelsLast);
  const layout = (name: string): Layout => layoutOf.get(name) ?? "plain";
  const put = (name: string, data: Float32Array | BigInt64Array, shape: readonly number[]): T => {
    const stored = store(data, shape, layout(name));
    return e.put(stored.data, stored.shape);
  };
  const weightsOf = (vector: Float32Array): T[] => split(c.spec, vector).map(([s, data]) => put(s.name, data, s.shape));
  const fed = names.map((name) => put(`input:${name}`, given[name].data, given[name].shape));
  let resultLayout: Layout = "plain";
  const evaluate = (weights: readonly T[], rest: readonly T[]): T => {
    const feeds = new Map<string, Value<T>>();
    c.spec.forEach((s, i) => {
      feeds.set(s.name, { x: weights[i], layout: layout(s.name), shape: s.shape });
    });
    names.forEach((name, i) => {
      feeds.set(`input:${name}`, { x: rest[i], layout: layout(`input:${name}`), shape: given[name].shape });
    });
    const value = interpret(e.operators, output, feeds);
    resultLayout = value.layout;
    return value.x;
  };
  /** Arrays of parameters in one vector, in our order. */
  const flat = async (xs: readonly T[]): Promise<Float32Array> => {
    const vector = new Float32Array(theta.length);
    for (const [i, [s, part]] of split(c.spec, vector).entries())
      part.set(restore(await e.read(xs[i]), s.shape, layout(s.name)));
    return vector;
  };
  let weights = weightsOf(theta);
  let last: T[] = [];
  const keep = (xs: T[]): void => {
    e.free(last);
    last = xs;
  };

  if (phase === "forward") {
    const forward = e.compile((args) => [evaluate(args.slice(0, c.spec.length), args.slice(c.spec.length))]);
    return {
      async run() {
        keep(await forward([...weights, ...fed]));
        return 0;
      },
      results: async () => [restore(await e.read(last[0]), network.shape, resultLayout)],
    };
  }
  const gradient = e.gradient(evaluate);
  if (phase === "forward+backward")
    return {
      async run() {
        keep(await gradient(weights, fed));
        return 0;
      },
      results: async () => [await e.read(last[0]), await flat(last.slice(1))],
    };

  const count = c.spec.length;
  // Apart from the update: compiled together, jax-js would compute the norm again for every value.
  const normOf = e.compile((grads) => [gradientNorm(e.operators, grads)]);
  const update = e.compile((args) => clipAndUpdate(e.operators, args, count, adamwDefaults));
  const zeros = new Float32Array(theta.length);
  let state = [...weights, ...weightsOf(zeros), ...weightsOf(zeros), ...weightsOf(theta)];
  let step = 0;
  return {
    async run() {
      const [loss, ...grads] = await gradient(weights, fed);
      const begin = performance.now();
      step++;
      const { rate, decay, floor } = adamwScalars(step, learningRate, adamwDefaults);
      const scalars = [rate, decay, floor, emaDecay(step, 0.9999)].map((x) => e.put(Float32Array.of(x), []));
      const [norm] = await normOf(grads);
      const next = await update([...state, ...grads, ...scalars, norm]);
      e.free([...state, ...grads, ...scalars]);
      state = next;
      weights = state.slice(0, count);
      keep([loss, norm]);
      return performance.now() - begin;
    },
    results: async () => [
      await e.read(last[0]),
      await e.read(last[1]),
      await flat(weights),
      await flat(state.slice(3 * count)),
    ],
  };
}
