// A run from beginning to end over a store in memory: what is saved when, where it stops, and that it goes on from any
// point of any write with the same bytes.

import { afterAll, describe, expect, it } from "vitest";
import { key } from "../../src/random.ts";
import { diffusion } from "../../src/recipes/diffusion.ts";
import { dmd, instaflow, progressive, type Recipe, reflow, swiftbrush } from "../../src/recipes/index.ts";
import { BudgetSpent, type Job, type JobEvent, runJob } from "../../src/run/job.ts";
import { type Stages, stagesOf } from "../../src/run/outline.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { BrokeDown, clusters, empty, type Kept, memoryStore, schedule, tinyStart } from "./memoryStore.ts";

const runtime = nodeRuntime({ threads: 1 });
afterAll(() => expect(runtime.open()).toBe(0));

const data = clusters(64);
function stages<R extends Recipe>(recipe: R, options: object): Stages {
  return stagesOf(recipe, tinyStart(), recipe.options.parse(options) as never, key(3));
}
const asRecipe = (recipe: unknown) => recipe as Recipe;
type More = Partial<Job> & { readonly images?: number };
const jobOf = (made: Stages, kept: Kept, { images = 24, ...more }: More = {}): Job => ({
  stages: made,
  data,
  schedule: schedule({ images }),
  seed: 5,
  runtime,
  store: memoryStore(kept, runtime),
  ...more,
});
async function all(job: Job): Promise<JobEvent[]> {
  const events: JobEvent[] = [];
  for await (const event of runJob(job)) events.push(event);
  return events;
}
const kinds = (events: readonly JobEvent[]) => events.map(({ kind }) => kind);
/** What must not depend on how often a run was stopped. */
const outcome = ({ progress, model, log, results }: Kept) => ({
  progress,
  model,
  results,
  log: log.map((line) => ({ ...line, seconds: 0 })),
});

const halving = () => stages(asRecipe(progressive), { from: 4, to: 1 });
const rounds = () => stages(asRecipe(reflow), { rounds: 2, pairs: 8, teacherSteps: 2 });

describe("stages", () => {
  it("are announced, trained in turn, and each begins where the last one ended", async () => {
    const kept = empty();
    const events = await all(jobOf(halving(), kept));
    expect(events.filter(({ kind }) => kind === "stage")).toEqual(
      ["4 steps", "2 steps", "1 step"].map((name, index) => ({ kind: "stage", name, index, count: 3 })),
    );
    const steps = events.flatMap((e) => (e.kind === "step" ? [[e.stage, e.step, e.images]] : []));
    expect(steps).toEqual([
      ["4 steps", 1, 4],
      ["4 steps", 2, 8],
      ["2 steps", 1, 12],
      ["2 steps", 2, 16],
      ["1 step", 1, 20],
      ["1 step", 2, 24],
    ]);
    expect(events.at(-1)).toEqual({ kind: "done", images: 24, early: false });
    expect([...kept.results.keys()], "the last result is the model").toEqual([0, 1]);
    expect(kept.progress?.seen).toEqual([8, 8]);
    expect(kept.model?.done.stages.map(({ images }) => images)).toEqual([8, 8, 8]);
  });

  it("share the budget as they ask", async () => {
    const kept = empty();
    const made = stages(asRecipe(instaflow), { pairs: 8, teacherSteps: 2, distillShare: 0.25 });
    await all(jobOf(made, kept, { images: 32 }));
    // A guided evaluation would count twice; 8 pairs of 2 steps, twice.
    expect(kept.model?.done).toEqual({
      images: 32,
      stages: [
        { name: "reflow", images: 24, pairNfe: 16 },
        { name: "one step", images: 8, pairNfe: 16 },
      ],
    });
  });

  it("have their result saved before a state says that they have ended", async () => {
    const kept = empty();
    await all(jobOf(rounds(), kept));
    const { writes } = kept;
    const result = writes.indexOf("result 0");
    expect(writes.filter((name) => name.startsWith("result"))).toEqual(["result 0"]);
    expect(writes.slice(0, 3)).toEqual(["pairs 0", "save", "model"]);
    expect(writes.slice(result - 2, result + 4)).toEqual(["save", "model", "result 0", "pairs 1", "save", "model"]);
  });
});

describe("a run that breaks down at any write goes on to the same bytes", () => {
  it.each([
    ["progressive", halving],
    ["reflow, two rounds with pairs of their own", rounds],
    ["dmd", () => stages(asRecipe(dmd), { pairs: 8, teacherSteps: 2, every: 2 })],
    ["swiftbrush", () => stages(asRecipe(swiftbrush), { rank: 2 })],
  ] as const)("%s", { timeout: 120_000 }, async (_, make) => {
    const whole = empty();
    await all(jobOf(make(), whole));
    expect(whole.writes.length).toBeGreaterThan(10);
    const want = outcome(whole);
    const places = whole.writes.flatMap((_, i) => [false, true].map((done) => ({ at: i + 1, done })));
    for (const { at, done } of places) {
      const kept = empty();
      const store = memoryStore(kept, runtime, (write, after) => write === at && after === done);
      await expect(all(jobOf(make(), kept, { store }))).rejects.toThrow(BrokeDown);
      await all(jobOf(make(), kept));
      expect(outcome(kept), `${done ? "after" : "before"} write ${at}, ${whole.writes[at - 1]}`).toEqual(want);
    }
  });
});

describe("Ctrl-C", () => {
  it.each([1, 2, 3, 4])("in step %d saves that step and ends; resumed, the bytes are the same", async (stop) => {
    const [whole, kept] = [empty(), empty()];
    await all(jobOf(halving(), whole));
    const controller = new AbortController();
    const events: JobEvent[] = [];
    let seen = 0;
    const job = jobOf(halving(), kept, { signal: controller.signal });
    for await (const event of runJob(job)) {
      events.push(event);
      // Told after a step: the next one is the last.
      if (event.kind === "step" && ++seen === stop) controller.abort();
    }
    expect(seen).toBe(stop % 2 === 1 ? stop + 2 : stop + 1);
    expect(events.at(-1)?.kind).toBe("interrupted");
    expect(kept.progress?.state.step).toBe((events.at(-1) as { step: number }).step);
    await all(jobOf(halving(), kept));
    expect(outcome(kept)).toEqual(outcome(whole));
  });
});

describe("a deadline", () => {
  it("that is over saves the step, ends as done, and says that it is early", async () => {
    const kept = empty();
    const events = await all(jobOf(halving(), kept, { deadline: performance.now() }));
    expect(kinds(events)).toEqual(["stage", "checkpoint", "step", "checkpoint", "done"]);
    expect(events.at(-1)).toEqual({ kind: "done", images: 4, early: true });
    expect([kept.progress?.stage, kept.progress?.state.step, kept.model?.done.images]).toEqual([0, 1, 4]);
    const whole = empty();
    await all(jobOf(halving(), whole));
    await all(jobOf(halving(), kept));
    expect(outcome(kept)).toEqual(outcome(whole));
  });
  it("that is far off changes nothing", async () => {
    const kept = empty();
    const events = await all(jobOf(halving(), kept, { deadline: performance.now() + 1e9 }));
    expect(events.at(-1)).toEqual({ kind: "done", images: 24, early: false });
  });
});

describe("checkpoints", () => {
  const single = () => stages(asRecipe(diffusion), {});
  const saved = async (more: More & { readonly saveEvery?: number }) => {
    const { saveEvery = 1000, ...rest } = more;
    const events = await all(jobOf(single(), empty(), { ...rest, schedule: schedule({ images: 40, saveEvery }) }));
    return events.flatMap((e) => (e.kind === "checkpoint" ? [e.step] : []));
  };
  it("are due by images, by seconds, and at both ends", async () => {
    expect(await saved({})).toEqual([0, 10]);
    expect(await saved({ saveEvery: 16 })).toEqual([0, 4, 8, 10]);
    expect(await saved({ saveSeconds: 0 })).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });
  it("come with a picture where one is due, of the kept weights", async () => {
    const asked: [number, Float32Array][] = [];
    const kept = empty();
    const events = await all(
      jobOf(single(), kept, {
        schedule: schedule({ images: 40, saveEvery: 8, previewEvery: 16 }),
        preview: async (_, theta, images) => {
          asked.push([images, theta.slice()]);
          return `${images}.png`;
        },
      }),
    );
    expect(asked.map(([images]) => images)).toEqual([16, 32, 40]);
    expect(events.flatMap((e) => (e.kind === "preview" ? [e.path] : []))).toEqual(["16.png", "32.png", "40.png"]);
    expect(asked[2][1]).toEqual(kept.model?.theta);
  });
});

describe("a budget that changes when a run goes on", () => {
  it("does not change what stages that have ended have seen", async () => {
    const kept = empty();
    await all(jobOf(halving(), kept));
    const events = await all(jobOf(halving(), kept, { images: 48 }));
    expect(events.at(-1)).toEqual({ kind: "done", images: 8 + 8 + 16, early: false });
    expect(kept.model?.done.stages.map(({ images }) => images)).toEqual([8, 8, 16]);
  });
  it("and is spent already is refused before anything is written", async () => {
    const kept = empty();
    await all(jobOf(halving(), kept));
    const before = structuredClone(outcome(kept));
    await expect(all(jobOf(halving(), kept, { images: 12 }))).rejects.toThrow(BudgetSpent);
    expect(outcome(kept)).toEqual(before);
  });
});

it("a state of another method is refused, with all that differs, before anything is written", async () => {
  const kept = empty();
  await all(jobOf(stages(asRecipe(diffusion), {}), kept));
  const [before, writes] = [structuredClone(outcome(kept)), kept.writes.length];
  const other = stages(asRecipe(dmd), { regression: 0 });
  await expect(all(jobOf(other, kept))).rejects.toThrow('dmd cannot be trained: the state has no player "critic".');
  await expect(all(jobOf(stages(asRecipe(swiftbrush), { rank: 2 }), kept))).rejects.toThrow(
    'swiftbrush cannot be trained: the state has no player "critic".',
  );
  expect(outcome(kept)).toEqual(before);
  expect(kept.writes).toHaveLength(writes);
});
