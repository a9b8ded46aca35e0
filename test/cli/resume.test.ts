import { cp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { readSafetensors } from "../../src/data/safetensors.ts";
import { contents, fewstep, fewstepProcess, interruptedFewstep, onlyRun, scratch } from "./fewstep.ts";

const { at } = scratch();

/** Starting processes is slow on a busy machine. */
const patient = { timeout: 180_000 };

/** 400 steps of a small network, a checkpoint every 50. */
const training = (out: string) => [
  ..."train --data toy:8gaussians@512 --form linear --width 32 --depth 2 --batch 16".split(" "),
  ..."--images 6400 --save-every 800 --preview-every 0 --seed 3 --out".split(" "),
  out,
];

test("a run that is killed twice ends with the bytes of one that is not", patient, async () => {
  const whole = await fewstep(...training(at("whole")));
  expect(whole.code, whole.err).toBe(0);
  const stops = [70, 190];
  const kill = async (args: readonly string[], step: number) => {
    const ended = await fewstepProcess(args, (event, child) => {
      if (event.kind === "step" && (event.step ?? 0) >= step) child.kill("SIGKILL");
    });
    expect(ended.signal, ended.err).toBe("SIGKILL");
  };
  await kill(training(at("killed")), stops[0]);
  const run = await onlyRun(at("killed"));
  await kill(["train", "--resume", run], stops[1]);
  const last = await fewstep("train", "--resume", run);
  expect(last.code, last.err).toBe(0);
  expect(last.err).toMatch(/Going on at step (150|200|250) of 400/);
  const [a, b] = [await contents(await onlyRun(at("whole"))), await contents(run)];
  expect(Object.keys(b).filter((file) => b[file] !== a[file])).toEqual([]);
  const other = await fewstep(...training(at("other")).map((arg) => (arg === "3" ? "4" : arg)));
  expect(other.code).toBe(0);
  const c = await contents(await onlyRun(at("other")));
  expect(c["state/state.safetensors"], "another seed is another run").not.toBe(a["state/state.safetensors"]);
});

test("a run on a folder goes on, whatever the folder is called now", patient, async () => {
  const args = [
    "train",
    "--batch",
    "16",
    "--width",
    "16",
    "--depth",
    "1",
    "--preview-every",
    "0",
    "--save-every",
    "16",
  ];
  const go = async (...more: string[]) => {
    const { code, err } = await fewstep(...more);
    expect(code, err).toBe(0);
  };
  await go(...args, "--data", "assets/mnist-small", "--images", "16", "--out", at("runs"));
  const run = await onlyRun(at("runs"));
  await go("train", "--resume", run, "--images", "32");
  await go("train", "--resume", run, "--images", "48", "--data", "./assets/mnist-small/");
  await go("train", "--resume", run, "--images", "64", "--data", join(process.cwd(), "assets/mnist-small"));
  // Moved data is the same data; changed data is refused.
  await cp("assets/mnist-small", at("moved"), { recursive: true });
  await go("train", "--resume", run, "--images", "80", "--data", at("moved"));
  const state = await readFile(join(run, "state/state.safetensors"));
  const refused = async (data: string) => {
    const { code, err } = await fewstep("train", "--resume", run, "--images", "96", "--data", data);
    expect(code).toBe(1);
    expect(err).toMatch(/state\.safetensors belongs to another data than the one given now: its contents differ\./);
    expect(state.equals(await readFile(join(run, "state/state.safetensors")))).toBe(true);
  };
  const labels = gunzipSync(await readFile(at("moved/train-labels-idx1-ubyte.gz")));
  await writeFile(at("moved/train-labels-idx1-ubyte.gz"), gzipSync(labels.with(9, (labels[9] + 1) % 10)));
  await refused(at("moved"));
  await cp("assets/mnist-small", at("moved"), { recursive: true });
  const images = gunzipSync(await readFile(at("moved/train-images-idx3-ubyte.gz")));
  await writeFile(at("moved/train-images-idx3-ubyte.gz"), gzipSync(images.with(images.length - 1, 255)));
  await refused(at("moved"));
  const card = JSON.parse(await readFile(join(run, "model/card.json"), "utf8"));
  expect(card.recipe.options.data).toBe("moved");
  expect(card.imagesSeen).toBe(80);
});

test("Ctrl-C ends with 130, keeps the current step and says which it is", patient, async () => {
  // A budget that it cannot finish before the signal arrives.
  const long = training(at("runs")).map((arg) => (arg === "6400" ? "6400000" : arg));
  let sent = false;
  const ended = await fewstepProcess(long, (event, child) => {
    if (sent || event.kind !== "checkpoint" || event.step !== 50) return;
    sent = child.kill("SIGINT");
  });
  expect(ended.code, ended.err).toBe(130);
  const run = await onlyRun(at("runs"));
  const message = ended.err.trim().split("\n").at(-1);
  const step = message?.match(/^Interrupted\. Step (\d+) is kept in/)?.[1];
  expect(Number(step)).toBeGreaterThanOrEqual(50);
  const { metadata } = readSafetensors(await readFile(join(run, "state/state.safetensors")));
  expect(metadata.step).toBe(step);
  expect(message).toContain(`fewstep train --resume ${run}`);
  const info = await fewstep("info", run);
  expect(info.out).toContain(`Its checkpoint is of step ${step};`);
  const sample = await fewstep("sample", run, "--n", "4", "--steps", "2", "--out", at("grid.png"));
  expect(sample.code, sample.err).toBe(0);
});

test("NaN stops the run with the step and the last good checkpoint", async () => {
  const ended = await fewstep(...training(at("runs")), "--lr", "1e30");
  expect(ended.code).toBe(1);
  expect(ended.err).toMatch(
    /^Error: The (loss|gradient's norm) \((NaN|Infinity)\) is not a finite number at step \d+\..* The last good checkpoint is of step 0, in .*00000-flow-matching-8gaussians-512-b16\.$/m,
  );
  const run = await onlyRun(at("runs"));
  const state = await fewstep("info", join(run, "state/state.safetensors"));
  expect(state.out).toContain("after step 0");
});

test("a longer budget goes on; another batch, a smaller budget and another command do not", async () => {
  const short = training(at("runs")).map((arg) => (arg === "6400" ? "1600" : arg));
  expect((await fewstep(...short)).code).toBe(0);
  const run = await onlyRun(at("runs"));
  const longer = await fewstep("train", "--resume", run, "--images", "1920");
  expect(longer.code, longer.err).toBe(0);
  expect(longer.err).toContain("Going on at step 100 of 120");
  const wrong = async (...args: string[]) => {
    const { code, err } = await fewstep(...args);
    expect(code).toBe(2);
    return err;
  };
  expect(await wrong("train", "--resume", run, "--batch", "8")).toMatch(
    /was started with batch 16, so it cannot go on with 8/,
  );
  expect(await wrong("train", "--resume", run, "--images", "160")).toMatch(
    /has seen 1920 images already, more than the budget's 160/,
  );
  expect(await wrong("accelerate", "--resume", run)).toMatch(
    /was started by `fewstep train`, not `fewstep accelerate`/,
  );
});

test("pairs: missing and damaged shards are made again, and the result is the same", async () => {
  expect((await fewstep(...training(at("teacher")))).code).toBe(0);
  const teacher = await onlyRun(at("teacher"));
  const accelerate = (out: string) => [
    ...["accelerate", teacher, "--method", "rectified-diffusion", "--teacher-steps", "4", "--pairs", "600"],
    ...["--batch", "16", "--images", "320", "--preview-every", "0", "--out", out],
  ];
  const first = await fewstep(...accelerate(at("a")));
  expect(first.code, first.err).toBe(0);
  const run = await onlyRun(at("a"));
  const before = await contents(run);
  const shard = (n: number) => join(run, `pairs/pairs-0000${n}.safetensors`);
  const bytes = await readFile(shard(1));
  const good = await readFile(shard(2));
  await rm(shard(0));
  await writeFile(shard(1), bytes.with(bytes.length - 3, bytes[bytes.length - 3] ^ 1));
  await writeFile(shard(2), good.subarray(0, 100));
  await rm(join(run, "state/state.safetensors"));
  const again = await fewstep("accelerate", "--resume", run);
  expect(again.code, again.err).toBe(0);
  expect(again.err).toMatch(/pairs-00001.safetensors is damaged: its checksum is another. These pairs are made again./);
  expect(again.err).toMatch(/pairs-00002.safetensors .*These pairs are made again./);
  expect(await readFile(shard(1))).toEqual(bytes);
  const after = await contents(run);
  expect(after["state/state.safetensors"]).toBe(before["state/state.safetensors"]);
  const mixed = await fewstep(...accelerate(at("b")), "--pairs-dir", join(run, "pairs"), "--seed", "9");
  expect(mixed.code).toBe(1);
  expect(mixed.err).toMatch(/made with seed 0, not 9/);
});

test("Ctrl-C while sampling and while pairs are made", async () => {
  expect((await fewstep(...training(at("teacher")))).code).toBe(0);
  const teacher = await onlyRun(at("teacher"));
  const sample = await interruptedFewstep("sample", teacher, "--out", at("grid.png"));
  expect(sample).toMatchObject({ code: 130, out: "" });
  expect(sample.err).toMatch(/Interrupted\. Nothing was written\.\n$/);
  const pairs = ["--method", "rectified-diffusion", "--pairs", "64", "--images", "64", "--preview-every", "0"];
  const stopped = await interruptedFewstep("accelerate", teacher, ...pairs, "--out", at("runs"));
  expect(stopped.code).toBe(130);
  expect(stopped.err).toMatch(/Interrupted\. Finished shards are kept in .*pairs and used when the run goes on\.\n$/);
  const resumed = await fewstep("accelerate", "--resume", await onlyRun(at("runs")));
  expect(resumed.code, resumed.err).toBe(0);
});

test("a budget of minutes becomes one of images, and is written down as that", async () => {
  const tiny = "--data toy:moons@64 --form linear --width 8 --depth 1 --batch 8 --minutes 0.002 --preview-every 0";
  const ended = await fewstep("train", ...tiny.split(" "), "--out", at("runs"));
  expect(ended.code, ended.err).toBe(0);
  expect(ended.err).toMatch(/^0\.002 minutes are about [\d,]+ images at [\d,.]+ images\/s\.$/m);
  const options = JSON.parse(await readFile(join(await onlyRun(at("runs")), "options.json"), "utf8"));
  expect(options.images % 8).toBe(0);
  expect(options).not.toHaveProperty("minutes");
});
