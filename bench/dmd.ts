// npm run bench:dmd: an iteration of DMD, as training runs it, against the passes of networks that it is made of, each timed
// as a program of its own, in turns. A generator with its gradient, the teacher, the critic, the critic with its gradient:
// what is above their sum is noise, noising, losses, AdamW and averages.
import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { times } from "../src/clock.ts";
import { classCount } from "../src/condition.ts";
import { constant, input, mean, type Outputs, sizeOf, square, type TensorData, vjp } from "../src/graph/index.ts";
import { fromParts, inputVector, type Params } from "../src/nn/params.ts";
import { loadModel } from "../src/node/models.ts";
import { fold, key, normal, randint } from "../src/random.ts";
import { dmd } from "../src/recipes/index.ts";
import { startOf } from "../src/recipes/start.ts";
import { columnsOf } from "../src/run/step.ts";
import { freshState, train } from "../src/run/train.ts";
import { nodeRuntime } from "../src/runtime/node.ts";
import { whole } from "./numbers.ts";
import { median } from "./table.ts";

const root = resolve(import.meta.dirname, "..");
const { values } = parseArgs({
  options: {
    teacher: { type: "string", default: join(root, "assets/mnist-teacher") },
    batch: { type: "string", default: "32" },
    rounds: { type: "string", default: "20" },
    threads: { type: "string", default: String(availableParallelism()) },
    json: { type: "boolean", default: false },
  },
});
const [batch, rounds, threads] = (["batch", "rounds", "threads"] as const).map((name) => whole(name, values[name]));
const runtime = nodeRuntime({ threads });
const start = startOf(await loadModel(values.teacher));
const { model, spec, theta, params } = start;
const { value: stage } = dmd.stages(start, dmd.options.parse({ regression: 0 }), key(1)).next();
if (!stage) throw new Error("DMD has no stage.");

const valuesOf = (name: string, shape: readonly number[], dtype: string): TensorData => {
  const [own, count] = [fold(key(8), name), sizeOf(shape)];
  const classes = classCount(model.conditions) || 1;
  return dtype === "int64" ? BigInt64Array.from(randint(own, count, classes), BigInt) : normal(own, count);
};

/** A pass through the network: its weights constants or inputs, with the gradient of a mean square or without. */
function pass(kind: "constants" | "inputs" | "gradient") {
  const clock = times(batch);
  const x = input("x", [batch, ...model.sampleShape]);
  const given = Object.entries(model.conditions).filter(([, c]) => c.given === "data");
  const cond = Object.fromEntries(
    given.map(([name, { shape, dtype }]) => [name, input(name, [batch, ...shape], dtype)]),
  );
  const parts = inputVector("theta", spec);
  const p: Params = kind === "constants" ? params : fromParts(spec, parts);
  const y = model.apply(p, x, clock, cond);
  const outputs: Outputs<string> =
    kind === "gradient" ? { gradient: vjp([mean(square(y))], [constant(1)], parts) } : { y };
  const feeds: Record<string, TensorData> = {
    x: valuesOf("x", x.shape, "float32"),
    ...Object.fromEntries(given.map(([name, { shape, dtype }]) => [name, valuesOf(name, [batch, ...shape], dtype)])),
    ...clock.feeds(Float64Array.from({ length: batch }, (_, i) => (i + 0.5) / batch)),
    ...(kind === "constants" ? {} : { theta }),
  };
  return { outputs, feeds };
}

async function compiled(kind: Parameters<typeof pass>[0]) {
  const { outputs, feeds } = pass(kind);
  const program = await runtime.compile<string>(outputs);
  return { run: () => program.run(feeds), dispose: () => program.dispose() };
}

const clocked = async (run: () => Promise<unknown>): Promise<number> => {
  const begin = performance.now();
  await run();
  return performance.now() - begin;
};

const passes = {
  "generator and gradient": await compiled("gradient"),
  teacher: await compiled("constants"),
  critic: await compiled("inputs"),
  "critic and gradient": await compiled("gradient"),
};
const data = () =>
  Object.fromEntries(
    Object.entries(columnsOf(stage)).map(([name, { shape, dtype }]) => [
      name,
      valuesOf(name, [batch, ...shape], dtype),
    ]),
  );
const fixed = data();
const WARM = 3;
const options = {
  batch,
  steps: rounds + WARM + 1,
  rate: { kind: "constant", peak: 1e-5, warmup: 0, final: 1 },
  ema: 0.99,
  clip: 1,
  dropLabels: 0,
  seed: 1,
} as const;
const training = train(stage, () => fixed, runtime, freshState(stage), options);
const step = () => training.next();
for (let i = 0; i < WARM; i++) {
  await step();
  for (const { run } of Object.values(passes)) await run();
}
const found: { iteration: number; passes: Record<string, number> }[] = [];
for (let round = 0; round < rounds; round++) {
  const one: Record<string, number> = {};
  const alone = async () => {
    for (const [name, { run }] of Object.entries(passes)) one[name] = await clocked(run);
  };
  if (round % 2 === 1) await alone();
  const iteration = await clocked(step);
  if (round % 2 === 0) await alone();
  found.push({ iteration, passes: one });
}
await training.return(undefined);
for (const { dispose } of Object.values(passes)) await dispose();
const sum = (x: Readonly<Record<string, number>>) => Object.values(x).reduce((a, b) => a + b, 0);
const ratios = found.map((x) => x.iteration / sum(x.passes));
const iteration = median(found.map((x) => x.iteration));
const parts = Object.fromEntries(Object.keys(passes).map((name) => [name, median(found.map((x) => x.passes[name]))]));
if (values.json)
  console.log(JSON.stringify({ batch, threads, rounds, iteration, passes: parts, ratio: median(ratios), ratios }));
else {
  for (const [name, ms] of Object.entries(parts)) console.log(`${name}: ${ms.toFixed(1)} ms`);
  console.log(
    `dmd, an iteration of ${batch}, ${threads} threads: ${iteration.toFixed(1)} ms, ${median(ratios).toFixed(3)} of its network passes (${Math.min(...ratios).toFixed(3)} to ${Math.max(...ratios).toFixed(3)})`,
  );
}
