// How long the demo's training program takes until its first step is done, in this process, from its start.
// node_modules/.bin/tsx bench/startup.ts, or from the compiled code: see docs/performance.md.

const stages: [name: string, ms: number][] = [];
/** Time since the last stage; the first counts from the start of the process. */
let before = 0;
const stage = (name: string): void => {
  const now = performance.now();
  stages.push([name, now - before]);
  before = now;
};

const { loadModel } = await import("../src/node/models.ts");
const { perflow } = await import("../src/recipes/perflow.ts");
const { startOf } = await import("../src/recipes/start.ts");
const { key } = await import("../src/random.ts");
const { stepProgram } = await import("../src/run/step.ts");
const { adamwDefaults } = await import("../src/optim/adamw.ts");
const { nodeRuntime } = await import("../src/runtime/node.ts");
stage("start and import");

const loaded = await loadModel(new URL("../assets/mnist-teacher", import.meta.url).pathname);
stage("load the teacher");

const options = perflow.options.parse({
  windows: 4,
  teacherSolver: "ddim",
  teacherSteps: 4,
  guidance: 1,
  predict: "ddim_eps",
  weight: "endpoint",
  atStarts: 0.6,
  distance: "mse",
});
const { value: first } = perflow.stages(startOf(loaded), options, key(0)).next();
if (!first) throw new Error("perflow has no stage.");
const { outputs, draws } = stepProgram(first, first.players, { batch: 64, adamw: adamwDefaults, clip: 1 });
stage("build the graph");

const runtime = nodeRuntime();
const program = await runtime.compile(outputs);
stage("write the model and create the session");

const size = 64 * 28 * 28;
const vector = new Float32Array(loaded.theta.length);
const one = Float32Array.of(0.5);
const batch = { x: new Float32Array(size), labels: new BigInt64Array(64) };
// The student sees its labels with some dropped, and the teacher as the student does.
const { labels: _, ...drawn } = draws.feeds({ root: key(0), step: 1 }, batch, 0.1);
const feeds = {
  ...{ "student.theta": loaded.theta, "student.m": vector, "student.v": vector, "student.average.kept": loaded.theta },
  ...{ "student.rate": one, "student.decay": one, "student.floor": one, "student.average.kept.decay": one },
  ...drawn,
};
await program.run(feeds);
stage("first step");
await program.dispose();

for (const [name, ms] of stages) console.log(`${ms.toFixed(0).padStart(6)} ms  ${name}`);
const total = stages.slice(0, -1).reduce((sum, [, ms]) => sum + ms, 0);
console.log(`${total.toFixed(0).padStart(6)} ms  in all, without the first step`);
