// What programs that draw curves read beside log.jsonl says what log.jsonl says, also after a run was stopped.
import { appendFile, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Interrupted, train } from "../../src/index.ts";
import { readLog } from "../../src/node/runDir.ts";
import { csvOf } from "../../src/node/watching.ts";
import { fewstep, scratchOnce } from "../cli/fewstep.ts";
import { readRecords } from "../support/eventFiles.ts";

const { at } = scratchOnce();
const small = { data: "toy:moons@256", width: 16, depth: 1, batch: 32, images: 640 } as const;

interface Step {
  readonly kind: string;
  readonly images: number;
  readonly step: number;
  readonly loss: number;
  readonly norm: number;
  readonly rate: number;
}

const stepsOf = async (run: string) =>
  ((await readLog(join(run, "log.jsonl"))) as Step[]).filter(({ kind }) => kind === "step");

async function eventFilesOf(run: string) {
  const names = (await readdir(run)).filter((name) => name.includes("tfevents")).sort();
  return Promise.all(names.map(async (name) => readRecords(await readFile(join(run, name)))));
}

test("scalars and pictures as log.jsonl and samples/ have them, at the images seen", async () => {
  const { run } = await train({ ...small, run: at("whole"), log: ["tensorboard", "csv"], previewEvery: 320 });
  const steps = await stepsOf(run);
  const [[first, ...events]] = await eventFilesOf(run);
  expect(first.version).toBe("brain.Event:2");
  expect(Math.abs(first.time - Date.now() / 1000)).toBeLessThan(600);
  const scalars = events.filter(({ values }) => values[0].picture === undefined);
  expect(scalars.map(({ step, values }) => [step, values])).toEqual(
    steps.map(({ images, loss, norm, rate }) => [
      images,
      Object.entries({ loss, norm, rate }).map(([tag, value]) => ({ tag, scalar: Math.fround(value) })),
    ]),
  );
  const pictures = events.filter(({ values }) => values[0].picture !== undefined);
  expect(pictures.map(({ step }) => step)).toEqual([320, 640]);
  const [{ picture, tag }] = pictures[1].values;
  expect(tag).toBe("samples");
  expect(picture?.png).toEqual(new Uint8Array(await readFile(join(run, "samples/000000640.png"))));
  const table = (await readFile(join(run, "log.csv"), "utf8")).trimEnd().split("\n");
  expect(table[0]).toBe("stage,step,images,seconds,loss,norm,rate");
  expect(table).toHaveLength(1 + steps.length);
  const last = table[steps.length].split(",").map(Number);
  const end = steps[steps.length - 1];
  expect([last[1], last[2], last[4], last[5], last[6]]).toEqual([20, 640, end.loss, end.norm, end.rate]);
});

test("a run that was stopped goes on in a second file, which says from where; log.csv has each step once", async () => {
  const stop = new AbortController();
  const call = { ...small, run: at("stopped"), log: ["tensorboard", "csv"] as ["tensorboard", "csv"], previewEvery: 0 };
  const onEvent = (event: { kind: string; step?: number }) => event.kind === "step" && event.step === 7 && stop.abort();
  await expect(train({ ...call, signal: stop.signal, onEvent })).rejects.toThrow(Interrupted);
  const reached = (await stepsOf(at("stopped"))).length;
  expect(reached).toBeGreaterThanOrEqual(7);
  expect(reached).toBeLessThan(20);
  // A crash leaves what comes after the checkpoint, and half a line.
  await appendFile(at("stopped/log.jsonl"), `{"kind":"step","step":19,"images":608,"loss":9}\n{"kind":"st`);
  await appendFile(at("stopped/log.csv"), "0,19,608,1,9,,\n0,2");
  await train(call);
  const steps = await stepsOf(at("stopped"));
  expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
  const [before, after] = await eventFilesOf(at("stopped"));
  expect(before).toHaveLength(1 + reached);
  expect(after[1]).toMatchObject({ restart: true, step: 32 * reached + 1 });
  expect(after.slice(2).map(({ step }) => step)).toEqual(steps.slice(reached).map(({ images }) => images));
  expect(await readFile(at("stopped/log.csv"), "utf8")).toBe(csvOf(steps));
});

test("players and what they note have columns and curves of their own; a value that comes later too", () => {
  const step = (n: number, more: object) => ({
    kind: "step",
    step: n,
    images: 8 * n,
    loss: 0.5,
    norm: null,
    rate: 1,
    ...more,
  });
  const text = csvOf([
    step(1, {}),
    { kind: "warning", step: 1, message: "a, b" },
    step(2, { stage: 1, players: { student: { loss: 1, norm: 2 } }, notes: { lag: 3 } }),
  ]);
  expect(text).toBe(
    "stage,step,images,seconds,loss,norm,rate,student/loss,student/norm,lag\n0,1,8,,0.5,,1,,,\n1,2,16,,0.5,,1,1,2,3\n",
  );
});

test("--log jsonl writes nothing else; what is no kind is refused", async () => {
  const flags = ["train", "--data", small.data, "--width", "8", "--depth", "1", "--batch", "32", "--images", "64"];
  expect((await fewstep(...flags, "--preview-every", "0", "--log", "jsonl", "--run", at("plain"))).code).toBe(0);
  expect((await readdir(at("plain"))).filter((name) => /tfevents|csv/.test(name))).toEqual([]);
  const { code, err } = await fewstep(...flags, "--log", "wandb", "--run", at("never"));
  expect([code, err]).toEqual([2, expect.stringContaining("expected one of jsonl, tensorboard, csv")]);
});
