import { createHash } from "node:crypto";
import { open, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { linear, velocity } from "../../src/core/index.ts";
import type { Disk } from "../../src/node/atomic.ts";
import { loadResult, loadState, saveResult, saveState, stateFile } from "../../src/node/checkpoint.ts";
import { readSafetensors, writeSafetensors } from "../../src/node/files.ts";
import { loadModel, saveModel } from "../../src/node/models.ts";
import { type Card, describeModel } from "../../src/run/card.ts";
import type { Progress } from "../../src/run/job.ts";
import type { PlayerState, TrainState } from "../../src/run/train.ts";
import { tinyModel } from "../run/helpers.ts";
import { scratch } from "./fewstep.ts";

const { at } = scratch();
const player = (theta: Float32Array, averages: PlayerState["averages"]): PlayerState => ({
  updates: 5,
  theta,
  m: theta.map((x) => x / 2),
  v: theta.map((x) => x * x),
  averages,
});
const state: TrainState = {
  step: 7,
  players: {
    student: player(Float32Array.of(1, 2, 3), { kept: Float32Array.of(4, 5, 6), target: Float32Array.of(7, 8, 9) }),
    critic: player(Float32Array.of(-1, -2), {}),
  },
  scale: { value: 1024, good: 3, skipped: 2 },
};
const progress: Progress = { stage: 1, state, seen: [320] };
const spec = [{ name: "w", shape: [3], init: "zeros" as const }];

test("a state comes back as it was, every player with its averages", async () => {
  const run = { state: at("state") };
  await saveState(run, progress, { teacher: "abc", data: "def" });
  expect(await loadState(run, { teacher: "abc", data: "def" })).toEqual(progress);
  expect(await loadState(run, {})).toEqual(progress);
  expect(await loadState({ state: at("none") }, {}), "there is none yet").toBeUndefined();
  const { scale: _, ...whole } = state;
  await saveState(run, { stage: 0, state: whole, seen: [] }, {});
  expect(await loadState(run, {})).toEqual({ stage: 0, state: whole, seen: [] });
});

test.each(["teacher", "data"])("another %s is refused, with what differs and what to do", async (what) => {
  const run = { state: at("state") };
  await saveState(run, progress, { teacher: "abc", data: "def" });
  await expect(loadState(run, { [what]: "xyz" })).rejects.toThrow(
    `${stateFile(run)} belongs to another ${what} than the one given now: its contents differ. Resume with what the run was started with.`,
  );
});

test("damage is noticed wherever it is", async () => {
  const run = { state: at("state") };
  await saveState(run, progress, {});
  const good = await readFile(stateFile(run));
  const refused = async (bytes: Uint8Array) => {
    await writeFile(stateFile(run), bytes);
    return loadState(run, {}).then(
      () => "accepted",
      (error: Error) => error.message,
    );
  };
  const changed = (at: number) => good.with(at, good[at] ^ 1);
  const begin = 8 + Number(good.readBigUInt64LE(0));
  for (let i = begin; i < good.length; i++)
    expect(await refused(changed(i))).toBe(
      `${stateFile(run)} is damaged: its checksum is another. Start the run again, or put back a copy of the file.`,
    );
  for (const length of [0, 7, 8, begin - 1, begin, good.length - 1])
    expect(await refused(good.subarray(0, length))).toMatch(
      /state\.safetensors is (no safetensors file, or is )?cut off: /,
    );
  const text = (from: string, to: string) => {
    const at = good.indexOf(from);
    expect(at, from).toBeGreaterThan(0);
    return Buffer.concat([good.subarray(0, at), Buffer.from(to), good.subarray(at + from.length)]);
  };
  expect(await refused(text("fewstep-state-3", "fewstep-state-9"))).toMatch(
    /is no state of a run, or of a newer version/,
  );
  // What it says besides its values is of the same sum.
  for (const [from, to] of [
    ['"step":"7"', '"step":"8"'],
    ['"stage":"1"', '"stage":"0"'],
    ['\\"critic\\":5', '\\"critic\\":6'],
    ['\\"good\\":3', '\\"good\\":4'],
    ['"seen":"[320]"', '"seen":"[321]"'],
    ["fewstep-state-3", "fewstep-state-2"],
  ])
    expect(await refused(text(from, to)), `${from} to ${to}`).toContain("is damaged: its checksum is another.");
  expect(await refused(good)).toBe("accepted");
});

test("a state of the format before, whose sum is of its values alone, still loads", async () => {
  const run = { state: at("state") };
  await saveState(run, progress, { data: "def" });
  const { tensors, metadata } = await readSafetensors(stateFile(run));
  const sums = [...tensors]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { data }]) => {
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      return `${name} ${createHash("sha256").update(bytes).digest("hex")}`;
    });
  const sha256 = createHash("sha256").update(sums.join("\n")).digest("hex");
  const before = async (said: Record<string, string>) => {
    const values = Object.fromEntries([...tensors].map(([name, { shape, data }]) => [name, { shape, data }]));
    await writeSafetensors(stateFile(run), values, { ...metadata, format: "fewstep-state-2", sha256, ...said });
    return loadState(run, { data: "def" });
  };
  expect(await before({})).toEqual(progress);
  await expect(before({ step: "x" })).rejects.toThrow(/is damaged: its "step" is "x"\.$/);
  await expect(before({ stage: "-" })).rejects.toThrow(/is damaged: its "stage" is "-"\.$/);
  await expect(before({ sha256: metadata.sha256 })).rejects.toThrow("its checksum is another");
});

test("the result of a stage: another network, damage and a missing file are refused", async () => {
  const run = { state: at("state") };
  const theta = Float32Array.of(1, 2, 3);
  await saveResult(run, 0, theta);
  expect(await loadResult(run, 0, spec)).toEqual(theta);
  await expect(loadResult(run, 0, [{ ...spec[0], shape: [4] }])).rejects.toThrow(
    /stage-0\.safetensors has 3 weights, expected 4 for this network\./,
  );
  const file = at("state/stage-0.safetensors");
  const bytes = await readFile(file);
  await writeFile(file, bytes.with(bytes.length - 1, bytes[bytes.length - 1] ^ 1));
  await expect(loadResult(run, 0, spec)).rejects.toThrow(/stage-0\.safetensors is damaged: its checksum is another\./);
  await expect(loadResult(run, 1, spec)).rejects.toThrow(/stage-1\.safetensors does not exist/);
});

test("a full disk and weights that are not finite leave the old state", async () => {
  const run = { state: at("state") };
  await saveState(run, progress, {});
  const before = await readFile(stateFile(run));
  const full: Disk = {
    rename,
    open: async (...args) => {
      const file = await open(...args);
      file.writeFile = async () => {
        throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
      };
      return file;
    },
  };
  await expect(saveState(run, { ...progress, state: { ...state, step: 8 } }, {}, full)).rejects.toThrow(
    /could not be written: the disk is full/,
  );
  for (const part of ["theta", "m", "v"] as const) {
    const critic = { ...state.players.critic, [part]: Float32Array.of(0, Number.NaN) };
    const broken = { step: 9, players: { ...state.players, critic } };
    await expect(saveState(run, { ...progress, state: broken }, {})).rejects.toThrow(
      `"critic.${part}" holds NaN at step 9, so that state was not saved`,
    );
  }
  const { student } = state.players;
  const infinite = { ...student, averages: { ...student.averages, target: Float32Array.of(0, 0, 1 / 0) } };
  await expect(
    saveState(run, { ...progress, state: { step: 9, players: { ...state.players, student: infinite } } }, {}),
  ).rejects.toThrow(`"student.average.target" holds Infinity at step 9`);
  expect(await readFile(stateFile(run))).toEqual(before);
});

test("a model whose card is a save behind tells how far its weights are", async () => {
  const { network, model, spec, theta } = tinyModel(linear(), velocity);
  const card = (imagesSeen: number): Card => ({
    format: 2,
    library: "0",
    ...describeModel({ network, model, timeInput: { scale: 1000, offset: 0 } }),
    sampler: { solver: "euler", grid: { kind: "uniform" }, steps: [4] },
    guidance: { convention: "null + g*(cond - null)", baked: 1 },
    conditioning: { labels: 0, nullLabel: null },
    recipe: { method: "test", options: {} },
    base: null,
    imagesSeen,
    teacherNfe: 2 * imagesSeen,
    seed: 0,
  });
  const folder = at("model");
  await saveModel(folder, card(64), spec, theta, network);
  const old = await readFile(join(folder, "card.json"));
  const newer = theta.map((x) => x + 1);
  await saveModel(folder, card(128), spec, newer, network);
  await writeFile(join(folder, "card.json"), old);
  const loaded = await loadModel(folder);
  expect(loaded.theta).toEqual(newer);
  expect(loaded.card?.imagesSeen).toBe(128);
  expect(loaded.card?.teacherNfe).toBe(256);
  expect(loaded.model.form.name).toBe("linear");
});
