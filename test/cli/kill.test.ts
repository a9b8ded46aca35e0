// Runs of several stages and of several players as processes that are killed (SIGKILL) and asked to end (SIGTERM), and go
// on to the bytes of one that was not. Every single write is tried in test/run/job.test.ts.
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { readSafetensors } from "../../src/data/safetensors.ts";
import { contents, type Event, failure, fewstep, fewstepProcess, onlyRun, scratchOnce } from "./fewstep.ts";

const { at } = scratchOnce();
let teacher: string;

beforeAll(async () => {
  const train = "train --data toy:moons@128 --form vp --width 16 --depth 1 --batch 8 --images 160 --preview-every 0";
  const ended = await fewstep(...train.split(" "), "--out", at("teachers"));
  expect(ended.code, ended.err).toBe(0);
  teacher = await onlyRun(at("teachers"));
});

const methods = {
  reflow: "--rounds 2 --pairs 300 --teacher-steps 2",
  progressive: "--data toy:moons@128 --from 2 --to 1",
  dmd: "--data toy:moons@128 --every 3 --pairs 300 --teacher-steps 2",
  swiftbrush: "--rank 2",
} as const;
/** 120 steps, one stage or two of 60. */
const argsOf = (method: keyof typeof methods, run: string) => [
  ...["accelerate", teacher, "--method", method, "--batch", "8", "--images", "960", "--save-every", "80"],
  ...["--preview-every", "0", "--run", run, ...methods[method].split(" ")],
];

/** Every file of pairs and of stages that have ended. */
async function parts(run: string): Promise<Record<string, string>> {
  const names = (await readdir(run, { recursive: true })).filter((name) =>
    /(pairs-\d+|stage-\d+)\.safetensors$/.test(name),
  );
  const texts = await Promise.all(names.map((name) => readFile(join(run, name), "latin1")));
  return Object.fromEntries(names.map((name, i) => [name, texts[i]]));
}

describe.each(Object.keys(methods) as (keyof typeof methods)[])("%s", (method) => {
  test("killed and ended at several moments it ends with the same bytes", { timeout: 300_000 }, async () => {
    const whole = await fewstep(...argsOf(method, at(method, "whole")));
    expect(whole.code, whole.err).toBe(0);
    const run = at(method, "stopped");
    /** The same command makes the run and goes on with it. */
    const stop = async (signal: NodeJS.Signals, when: (event: Event & { images?: number }) => boolean) => {
      let sent = false;
      const ended = await fewstepProcess(argsOf(method, run), (event, child) => {
        if (!sent && when(event)) sent = child.kill(signal);
      });
      expect(sent, "the moment came").toBe(true);
      return ended;
    };
    const kill = async (when: Parameters<typeof stop>[1]) =>
      expect((await stop("SIGKILL", when)).signal).toBe("SIGKILL");
    await kill((event) => event.kind === "pairs" || event.kind === "checkpoint");
    await kill((event) => event.kind === "step" && (event.images ?? 0) >= 200);
    const term = await stop("SIGTERM", (event) => event.kind === "step" && (event.images ?? 0) >= 328);
    expect(term.code, term.err).toBe(130);
    const step = term.err.match(/Interrupted\. Step (\d+) is kept in/)?.[1];
    const { metadata } = readSafetensors(await readFile(join(run, "state/state.safetensors")));
    expect(metadata.step, "the current step").toBe(step);
    // In a second stage where there is one: as its pairs are there, and in its middle.
    await kill((event) => event.kind === "step" && (event.images ?? 0) >= 488);
    await kill((event) => event.kind === "step" && (event.images ?? 0) >= 700);
    const last = await fewstep(...argsOf(method, run));
    expect(last.code, last.err).toBe(0);
    expect(last.err).toMatch(/Going on at step \d+ of (60|120) in /);
    const [a, b] = [await contents(at(method, "whole")), await contents(run)];
    expect(Object.keys(b).filter((file) => b[file] !== a[file])).toEqual([]);
    const [c, d] = [await parts(at(method, "whole")), await parts(run)];
    expect(Object.keys(d)).toEqual(Object.keys(c));
    expect(Object.keys(d).filter((file) => d[file] !== c[file])).toEqual([]);
    const stages = Object.keys(d).filter((file) => file.includes("stage-"));
    expect(stages).toHaveLength(method === "reflow" || method === "progressive" ? 1 : 0);
    expect(Object.keys(d).some((file) => file.startsWith("pairs-1"))).toBe(method === "reflow");
    const info = await fewstep("info", run);
    expect(info.out).toContain("the last one: it is finished.");
  });
});

test("a run of one method does not go on with another", async () => {
  const [plain, other] = [at("plain"), at("other")];
  const few = (method: keyof typeof methods, run: string) =>
    argsOf(method, run).map((arg) => (arg === "960" ? "80" : arg));
  expect((await fewstep(...few("progressive", plain))).code).toBe(0);
  expect((await fewstep(...few("swiftbrush", other))).code).toBe(0);
  expect(await failure(2, ...few("dmd", plain))).toMatch(
    /was started with method "progressive", so it cannot go on with "dmd"\. Start a new run for that\.$/,
  );
});
