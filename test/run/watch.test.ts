// Trainings that look alive and are not: told by made-up notes, and by a real one whose critic does not move.

import { afterAll, describe, expect, it } from "vitest";
import { key } from "../../src/random.ts";
import { diffusion } from "../../src/recipes/diffusion.ts";
import { dmd } from "../../src/recipes/index.ts";
import { type JobEvent, runJob } from "../../src/run/job.ts";
import { endOfStage, type Stages, stagesOf } from "../../src/run/outline.ts";
import { keptOf } from "../../src/run/train.ts";
import { watcher } from "../../src/run/watch.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { clusters, empty, memoryStore, schedule, tinyStart } from "./memoryStore.ts";

const runtime = nodeRuntime({ threads: 1 });
afterAll(() => expect(runtime.open()).toBe(0));

type Notes = Readonly<Record<string, number>>;
/** Steps, from 1, at which something was said, and what. */
function said(watch: (notes: Notes) => string | undefined, steps: number, notes: (step: number) => Notes) {
  const found: [number, string][] = [];
  for (let step = 1; step <= steps; step++) {
    const sentence = watch(notes(step));
    if (sentence !== undefined) found.push([step, sentence]);
  }
  return found;
}
const wave = (step: number) => 0.1 * Math.sin(step);

describe.each([
  ["logistic", 2 * Math.LN2],
  ["hinge", 2],
])("a discriminator whose %s loss is that of knowing nothing", (_, value) => {
  const watch = () => watcher({ nothing: { discriminator: value } });
  it("is noticed after three hundred steps, once", () => {
    const found = said(watch(), 900, (step) => ({ discriminator: value + wave(step) }));
    expect(found.map(([step]) => step)).toEqual([300]);
    expect(found[0][1]).toBe(
      `The discriminator's loss has not come below ${value.toFixed(3)} for 300 steps: it has learned nothing, so it moves the student nowhere. Raise its learning rate or its weight.`,
    );
  });
  it("or worse is noticed, too; one that learns is not, however slowly", () => {
    expect(said(watch(), 900, () => ({ discriminator: 1.3 * value }))).toHaveLength(1);
    expect(said(watch(), 3000, (step) => ({ discriminator: value * (0.95 + wave(step)) }))).toEqual([]);
    // Two windows of nothing, one of something, and again.
    const often = (step: number) => ({ discriminator: step % 300 < 200 ? value : 0.8 * value });
    expect(said(watch(), 3000, often)).toEqual([]);
  });
});

describe("a critic", () => {
  const watch = (from = 0) => watcher({ lag: { critic: "c", teacher: "t" } }, from);
  it("that knows the samples as the teacher does from the beginning does not follow", () => {
    const found = said(watch(), 900, (step) => ({ c: 1 + wave(step), t: 1 + wave(step) }));
    expect(found.map(([step]) => step)).toEqual([300]);
    expect(found[0][1]).toMatch(
      /^For 300 steps the critic has known the student's samples no better than the teacher does \(error [\d.]+ against [\d.]+\): it lags\. Raise --critic-rate, /,
    );
  });
  it("that followed may be as good as the teacher in the end, but not worse", () => {
    const follows = (step: number, later: number) => ({ c: step <= 100 ? 0.9 : later, t: 1 });
    expect(said(watch(), 3000, (step) => follows(step, 1.01))).toEqual([]);
    expect(said(watch(), 3000, (step) => follows(step, 1.1)).map(([step]) => step)).toEqual([400]);
  });
  it("of a run that goes on is taken for one that followed", () => {
    expect(said(watch(500), 900, () => ({ c: 1, t: 1 }))).toEqual([]);
    expect(said(watch(500), 900, () => ({ c: 1.1, t: 1 }))).toHaveLength(1);
  });
  it("or a discriminator that nobody asks for is not missed", () => {
    expect(said(watch(), 900, () => ({}))).toEqual([]);
    expect(said(watcher({}), 900, () => ({ c: 9, t: 1 }))).toEqual([]);
  });
});

describe("a real training", { timeout: 120_000 }, () => {
  const data = clusters(256);
  const BATCH = 32;
  async function run(stages: Stages, steps: number, peak: number) {
    const kept = empty();
    const events: JobEvent[] = [];
    const rate = { kind: "constant", peak, warmup: 0, final: 1 } as const;
    const options = schedule({ images: BATCH * steps, batch: BATCH, saveEvery: 1e9, rate, ema: 0.95 });
    const store = memoryStore(kept, runtime);
    for await (const event of runJob({ stages, data, schedule: options, seed: 1, runtime, store })) events.push(event);
    return { kept, warnings: events.filter((event) => event.kind === "warning") };
  }
  async function teacher() {
    const stages = stagesOf(diffusion, tinyStart(), {}, key(1));
    const { kept } = await run(stages, 1000, 3e-3);
    const { value: stage } = stages().next();
    if (!stage || !kept.progress) throw new Error("The teacher was not trained.");
    return endOfStage(stage, keptOf(kept.progress.state));
  }
  const student = async (criticRate: number) => {
    const options = dmd.options.parse({ regression: 0, gan: 0.01, ganCritic: 1, criticRate });
    const { kept, warnings } = await run(stagesOf(dmd, await teacher(), options, key(2)), 500, 3e-4);
    const logged = kept.log.filter((line) => (line as { kind: string }).kind === "warning");
    expect(logged.map((line) => (line as { message: string }).message)).toEqual(
      warnings.map((w) => (w.kind === "warning" ? w.message : "")),
    );
    return warnings.map((w) => (w.kind === "warning" ? w.message : "")).join(" ");
  };
  it("whose critic does not move: both are noticed, said and logged", async () => {
    const said = await student(1e-9);
    expect(said).toMatch(/^The discriminator's loss has not come below 1\.386 for 300 steps/);
    expect(said).toMatch(/ For 300 steps the critic has known the student's samples no better than the teacher/);
  });
  it("that is healthy: nothing is said", async () => {
    expect(await student(10)).toBe("");
  });
});
