// --dry-run opens teacher and data, and says what a training would be without one.
import { existsSync } from "node:fs";
import { expect, test } from "vitest";
import { fewstep, scratch } from "./fewstep.ts";

const { at } = scratch();
const small = ["--data", "toy:moons@256", "--width", "16", "--depth", "1", "--batch", "32", "--images", "640"];

test("train: options on stdout, network, steps, memory and time beside them; nothing is made", async () => {
  const { code, out, err } = await fewstep("train", ...small, "--out", at("runs"), "--dry-run");
  expect(code, err).toBe(0);
  expect(JSON.parse(out)).toMatchObject({ command: "train", batch: 32, images: 640, lr: 0.001 });
  expect(err).toMatch(/^Network: mlp; parameters that are trained: student [\d,]+\.$/m);
  expect(err).toMatch(/^Steps: 20 of 32 images\.$/m);
  expect(err).toMatch(/^Memory: about [\d.]+ GB of [\d.]+ GB that are free\.$/m);
  expect(err).toMatch(/^Time: about \d+ s at [\d,.]+ images\/s/m);
  expect(existsSync(at("runs"))).toBe(false);
});

test("accelerate: players, stages and pairs; what does not fit is refused", async () => {
  const made = await fewstep("train", ...small, "--preview-every", "0", "--run", at("teacher"));
  expect(made.code, made.err).toBe(0);
  const asked = (method: string, ...more: string[]) =>
    fewstep(
      "accelerate",
      at("teacher"),
      "--method",
      method,
      "--data",
      "toy:moons@256",
      "--batch",
      "32",
      "--dry-run",
      ...more,
    );
  const { out, err } = await asked("dmd", "--images", "640", "--pairs", "64", "--json", "--out", at("runs"));
  expect(err).toMatch(/parameters that are trained: student [\d,]+, critic [\d,]+/);
  expect(err).toMatch(/^Pairs: 64 of 50 steps of the teacher come first\.$/m);
  const event = out
    .split("\n")
    .map((line) => (line.startsWith('{"') ? JSON.parse(line) : {}))
    .find(({ kind }) => kind === "dry-run");
  expect(event).toMatchObject({ network: "mlp", images: 640, batch: 32, pairs: 64 });
  expect(event.memory).toBeGreaterThan(1e8);
  expect(event.seconds).toBeGreaterThan(0);
  const staged = await asked("progressive", "--from", "4", "--images", "960");
  expect(staged.err).toMatch(/^Steps: 30 of 32 images \(.*10, .*10, .*10\)\.$/m);
  const wrong = await fewstep("accelerate", at("teacher"), "--method", "perflow", "--data", at("nowhere"), "--dry-run");
  expect([wrong.code, wrong.out]).toEqual([1, ""]);
  expect(existsSync(at("runs"))).toBe(false);
});
