// How much of a 4-step sample of the demo's network is not the network: solver, grid, bookkeeping.
// Run: npx tsx bench/samplerOverhead.ts [solver …]

import { join } from "node:path";
import { fromConstants } from "../src/nn/params.ts";
import { loadModel } from "../src/node/models.ts";
import { type CondValues, sampleAll, sampler, samplingGrid } from "../src/run/sample.ts";
import { nodeRuntime } from "../src/runtime/node.ts";
import { checkPlan, solvers } from "../src/solvers/index.ts";

const ROUNDS = 9;
/** Rounds before that: the compiler of the language has to see the loops first. */
const WARM = 4;
const STEPS = 4;
const BATCH = 64;

const teacher = await loadModel(join(import.meta.dirname, "../assets/mnist-teacher"));
const ready = await sampler(teacher.model, fromConstants(teacher.params), nodeRuntime(), BATCH);
let inside = 0;
const timed = {
  ...ready,
  async denoise(x: Float32Array, t: number, cond: CondValues, next?: number) {
    const began = performance.now();
    const y = await ready.predict(x, t, cond, next);
    inside += performance.now() - began;
    return y;
  },
};
const times = samplingGrid(teacher.model.form, teacher.sampler.grid, STEPS, teacher.model.prediction);
const chosen = solvers.filter(({ name }) => process.argv.length < 3 || process.argv.includes(name));
console.log(`${STEPS} steps, batch ${BATCH}, median of ${ROUNDS}; the rest includes drawing the noise`);
const rows: { solver: string; network: number; overhead: number; share: number }[] = [];
for (const solver of chosen) {
  try {
    checkPlan(solver, teacher.model.form, times);
  } catch {
    continue;
  }
  const shares: { network: number; overhead: number }[] = [];
  for (let round = -WARM; round < ROUNDS; round++) {
    inside = 0;
    const total = await timeOf(async () => {
      await sampleAll(timed, { n: BATCH, seed: 0, solver, times });
    });
    if (round >= 0) shares.push({ network: inside, overhead: total - inside });
  }
  shares.sort((a, b) => a.overhead / a.network - b.overhead / b.network);
  const { network, overhead } = shares[ROUNDS >> 1];
  rows.push({ solver: solver.name, network, overhead, share: overhead / network });
}
rows.sort((a, b) => b.share - a.share);
for (const { solver, network, overhead, share } of rows)
  console.log(
    `${solver.padEnd(24)} ${network.toFixed(0).padStart(5)} ms network ${overhead.toFixed(2).padStart(7)} ms rest  ${(100 * share).toFixed(2)} %`,
  );
await ready.dispose();

async function timeOf(work: () => Promise<void>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}
