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

const { asTeacher, loadModel } = await import("../src/cli/models.ts");
const { perflow } = await import("../src/recipes/perflow.ts");
const { stepProgram } = await import("../src/run/step.ts");
const { adamwDefaults } = await import("../src/optim/adamw.ts");
const { nodeRuntime } = await import("../src/runtime/node.ts");
stage("start and import");

const loaded = await loadModel(new URL("../assets/mnist-teacher", import.meta.url).pathname);
stage("load the teacher");

const plan = perflow(asTeacher(loaded), {
  windows: 4,
  teacherSolver: "ddim",
  teacherSteps: 4,
  guidance: 1,
  predict: "ddim_eps",
  weight: "endpoint",
  atStarts: 0.6,
  distance: { kind: "mse" },
});
const { outputs, times } = stepProgram(plan, loaded.spec, { batch: 64, adamw: adamwDefaults, clip: 1 });
stage("build the graph");

const runtime = nodeRuntime();
const program = await runtime.compile(outputs);
stage("write the model and create the session");

const size = 64 * 28 * 28;
const vector = new Float32Array(loaded.theta.length);
const one = Float32Array.of(0.5);
const feeds = {
  ...{ theta: loaded.theta, m: vector, v: vector, ema: loaded.theta, rate: one, decay: one, floor: one, emaDecay: one },
  ...{ x: new Float32Array(size), noise: new Float32Array(size), dropped: new BigInt64Array(64) },
  ...times.feeds(Array.from({ length: 64 }, (_, i) => (i + 1) / 64)),
};
await program.run(feeds);
stage("first step");
await program.dispose();

for (const [name, ms] of stages) console.log(`${ms.toFixed(0).padStart(6)} ms  ${name}`);
const total = stages.slice(0, -1).reduce((sum, [, ms]) => sum + ms, 0);
console.log(`${total.toFixed(0).padStart(6)} ms  in all, without the first step`);
