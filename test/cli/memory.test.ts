// Memory as a choice: the switch, and what is said where a run would not fit.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { linear, velocity } from "../../src/core/index.ts";
import { networkModel } from "../../src/model.ts";
import { buildNetwork, collect } from "../../src/nn/network.ts";
import { countParams } from "../../src/nn/params.ts";
import { quietContext } from "../../src/node/context.ts";
import { availableMemory, checkMemory } from "../../src/node/memory.ts";
import { silent } from "../../src/node/reporter.ts";
import { adamwDefaults } from "../../src/optim/adamw.ts";
import { key } from "../../src/random.ts";
import { diffusion } from "../../src/recipes/diffusion.ts";
import { startOf } from "../../src/recipes/start.ts";
import { contents, fewstep, onlyRun, scratch } from "./fewstep.ts";

const { at } = scratch();

describe("a run that does not fit", () => {
  const network = buildNetwork({ family: "dit", config: { size: 16, width: 64, depth: 14, heads: 2 } });
  const timeInput = { scale: 1000, offset: 0 };
  const model = networkModel(network, linear(), velocity, timeInput);
  const spec = collect(network);
  const theta = new Float32Array(countParams(spec));
  const { value: run } = diffusion.stages(startOf({ model, network, timeInput, spec, theta }), {}, key(0)).next();
  if (!run) throw new Error("Diffusion has no stage.");
  const notes: string[] = [];
  const context = quietContext({ report: { ...silent, note: (text) => notes.push(text) } });
  afterAll(() => expect(context.runtime.open()).toBe(0));
  const question = { batch: 256, adamw: adamwDefaults, clip: 1, ignoreMemory: false };
  const GB = 1e9;
  const ask = (
    free: number,
    total: number,
    more: Partial<typeof question & { gradientCheckpointing: boolean }> = {},
  ) => {
    notes.length = 0;
    checkMemory(run, { ...question, ...more }, context, { free: free * GB, total: total * GB });
    return notes.join("\n");
  };
  const pattern =
    /^Training with --batch 256 needs about ([\d.]+) GB of memory \(about ([\d.]+) GB with --gradient-checkpointing\), but 0\.9 GB are free; --batch (\d+) would fit\.$/;

  test("nothing is said where it fits", () => expect(ask(64, 64)).toBe(""));

  test("one sentence with the numbers, and a batch that does fit", () => {
    const [, needed, checkpointed, batch] = (ask(0.9, 64).match(pattern) ?? []).map(Number);
    expect(needed).toBeGreaterThan(1.5);
    expect(checkpointed).toBeLessThan(0.6 * needed);
    expect(batch % 16).toBe(0);
    expect(ask(0.9, 64, { batch })).toBe("");
    expect(ask(0.9, 64, { batch: batch + 32 })).not.toBe("");
  });

  test("with gradient checkpointing it fits, or only the batch can help", () => {
    expect(ask(1.2, 64, { gradientCheckpointing: true })).toBe("");
    expect(ask(0.4, 64, { gradientCheckpointing: true })).toMatch(
      /^Training with --batch 256 needs about [\d.]+ GB of memory, but 0\.4 GB are free; --batch \d+ would fit\.$/,
    );
    expect(ask(0.1, 64)).toMatch(/no smaller batch would fit\.$/);
  });

  test("what can never fit is refused, unless the user insists", () => {
    expect(() => ask(0.9, 1)).toThrow(/but there are 1\.0 GB; --batch \d+ would fit\. To try it .* --ignore-memory\.$/);
    expect(ask(0.9, 1, { ignoreMemory: true })).toMatch(/but there are 1\.0 GB; --batch \d+ would fit\.$/);
  });

  test("this machine's memory is something between nothing and all of it", () => {
    const { free, total } = availableMemory();
    expect(free).toBeGreaterThan(0);
    expect(free).toBeLessThanOrEqual(total);
  });
});

const training = (out: string, images = 320) =>
  `train --data toy:8gaussians@512 --form linear --width 32 --depth 2 --batch 16 --save-every 160 --preview-every 0 --images ${images} --out ${out}`.split(
    " ",
  );
const losses = (log: string) =>
  log
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line).loss as number);

test("--gradient-checkpointing trains the same, is recorded, and goes on when resumed", async () => {
  const plain = await fewstep(...training(at("plain")));
  expect(plain.code, plain.err).toBe(0);
  const started = await fewstep(...training(at("runs"), 160), "--gradient-checkpointing");
  expect(started.code, started.err).toBe(0);
  const run = await onlyRun(at("runs"));
  const resumed = await fewstep("train", "--resume", run, "--images", "320");
  expect(resumed.code, resumed.err).toBe(0);
  const card = JSON.parse(await readFile(join(run, "model/card.json"), "utf8"));
  expect(card.recipe.options["gradient-checkpointing"]).toBe(true);
  expect(card.recipe.options["ignore-memory"]).toBeUndefined();
  const [want, have] = [await contents(await onlyRun(at("plain"))), await contents(run)].map((c) =>
    losses(c["log.jsonl"]),
  );
  expect(have).toHaveLength(want.length);
  // The budget, and with it the learning rate, of the first half differ; its first steps are still warming up.
  want.slice(0, 8).forEach((loss, i) => {
    expect(Math.abs(have[i] - loss) / loss).toBeLessThan(1e-4);
  });
});

test("a batch that no machine has memory for is refused with a sentence", async () => {
  const ended = await fewstep(...training(at("runs")), "--batch", "400000000");
  expect(ended.code).toBe(1);
  expect(ended.err).toMatch(
    /^Error: Training with --batch 400000000 needs about \d+ GB of memory .*--ignore-memory\.$/m,
  );
});

test("gradient checkpointing can be switched when a run goes on, and stays so", async () => {
  expect((await fewstep(...training(at("runs"), 160))).code).toBe(0);
  const run = await onlyRun(at("runs"));
  const recorded = async (...args: string[]) => {
    const { code, err } = await fewstep("train", "--resume", run, ...args);
    expect(code, err).toBe(0);
    const files = ["model/card.json", "options.json"].map((file) => readFile(join(run, file), "utf8"));
    const [card, options] = (await Promise.all(files)).map((text) => JSON.parse(text));
    return [card.recipe.options["gradient-checkpointing"], options["gradient-checkpointing"]];
  };
  expect(await recorded("--images", "176", "--gradient-checkpointing")).toEqual([true, true]);
  expect(await recorded("--images", "192")).toEqual([true, true]);
  expect(await recorded("--images", "208", "--no-gradient-checkpointing")).toEqual([false, false]);
  expect(await recorded("--images", "224")).toEqual([false, false]);
});
