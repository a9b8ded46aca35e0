// Every method on several ranks, within one process, ends where one rank ends: the same rows, noise and pairs, the gradient of
// the same batch, one run folder. Over MPI: mpi.test.ts.
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { distance } from "../../bench/distance.ts";
import { alone, type Comm } from "../../src/comm.ts";
import { accelerateOptions, accelerateTeacher } from "../../src/node/accelerate.ts";
import { loadState } from "../../src/node/checkpoint.ts";
import { quietContext } from "../../src/node/context.ts";
import { runAt } from "../../src/node/runDir.ts";
import { recipes } from "../../src/recipes/index.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { onAll } from "../support/localComms.ts";
import { scratchOnce } from "./fewstep.ts";
import { toyTeacher } from "./toyTeachers.ts";

const { at } = scratchOnce();
const runtime = nodeRuntime({ threads: 1 });
let places: { teacher: string; data: string };
beforeAll(async () => {
  places = await toyTeacher("mlp", at("toy"));
});

const pairs = { pairs: 10, teacherSteps: 2 };
/** Few steps, and every part of the loss that draws something of its own. */
const options: Readonly<Record<(typeof recipes)[number]["name"], object>> = {
  perflow: { guidance: 2, windows: 2, teacherSteps: 2, atStarts: 0.5 },
  "rectified-diffusion": { guidance: 2, ...pairs },
  "rectified-diffusion-phased": { guidance: 2, windows: 2, teacherSteps: 2 },
  "rectified-diffusion-cd": pairs,
  reflow: { rounds: 2, ...pairs },
  instaflow: pairs,
  consistency: { guidance: 2 },
  lcm: { guidanceMin: 1.5, guidanceMax: 3, embedding: 8 },
  progressive: { from: 2, to: 1 },
  dmd: { guidance: 2, gan: 0.1, every: 2, ...pairs },
  // Its gradient is the difference of two predictions, which are equal at first: it must not be all rounding.
  swiftbrush: { guidance: 2, rank: 2, lr: 0.01, warmup: 0 },
  adversarial: { guidance: 2, ...pairs },
  meanflow: { guidance: 2 },
  scm: { guidance: 2 },
};
const STEPS = 6;

const go = (method: keyof typeof options, run: string, comm: Comm, more: object = {}, signal?: AbortSignal) =>
  accelerateTeacher(
    accelerateOptions.parse({
      ...{ ...places, method, run, batch: 8, images: 8 * STEPS, saveEvery: 16, previewEvery: 0, checkRanks: true },
      ...options[method],
      ...more,
    }),
    quietContext({ runtime, comm, ...(signal ? { signal } : {}) }),
  );

async function stateOf(run: string): Promise<Record<string, Float32Array>> {
  const progress = await loadState(runAt(run), {});
  expect(progress?.state.step).toBeGreaterThanOrEqual(STEPS / 2);
  const players = Object.entries(progress?.state.players ?? {});
  return Object.fromEntries(
    players.flatMap(([name, { theta, m }]) => [
      [name, theta],
      [`${name}.m`, m],
    ]),
  );
}

describe.each(Object.keys(options) as (keyof typeof options)[])("%s", (method) => {
  test("several ranks, and pieces of two, end where one rank ends", { timeout: 120_000 }, async () => {
    await go(method, at(method, "1"), alone);
    await go(method, at(method, "pieces"), alone, { microBatch: 2 });
    await onAll(2, (comm) => go(method, at(method, "2"), comm, { microBatch: 2 }));
    await onAll(4, (comm) => go(method, at(method, "4"), comm));
    const one = await stateOf(at(method, "1"));
    for (const other of ["pieces", "2", "4"]) {
      const found = await stateOf(at(method, other));
      expect(Object.keys(found)).toEqual(Object.keys(one));
      for (const name of Object.keys(one))
        expect(distance(found[name], one[name]), `${other}: ${name}`).toBeLessThan(1e-5);
      // Not one byte of what is drawn depends on who draws it.
      for (const file of (await readdir(at(method, "1"), { recursive: true })).filter((f) => /pairs-\d+\.safe/.test(f)))
        expect(await readFile(join(at(method, other), file), "latin1"), `${other}: ${file}`).toBe(
          await readFile(join(at(method, "1"), file), "latin1"),
        );
    }
  });
});

test("ranks that go on where one has stopped have its state and its pairs", { timeout: 120_000 }, async () => {
  await go("dmd", at("whole"), alone);
  const stopped = new AbortController();
  const first = go("dmd", at("stopped"), alone, {}, stopped.signal);
  stopped.abort();
  await expect(first).rejects.toThrow("Interrupted.");
  await onAll(2, (comm) => go("dmd", at("stopped"), comm, { resume: at("stopped") }));
  const [one, two] = [await stateOf(at("whole")), await stateOf(at("stopped"))];
  for (const name of Object.keys(one)) expect(distance(two[name], one[name]), name).toBeLessThan(1e-5);
});

test("every method is here", () => expect(Object.keys(options)).toEqual(recipes.map(({ name }) => name)));
