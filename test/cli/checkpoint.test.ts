import { open, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Disk } from "../../src/cli/atomic.ts";
import { loadState, saveState, stateFile } from "../../src/cli/checkpoint.ts";
import { loadModel, saveModel } from "../../src/cli/models.ts";
import { linear, u } from "../../src/core/index.ts";
import { type Card, describeModel } from "../../src/run/card.ts";
import { freshState } from "../../src/run/train.ts";
import { tinyModel } from "../run/helpers.ts";
import { scratch } from "./fewstep.ts";

const { at } = scratch();
const state = { ...freshState(Float32Array.of(1, 2, 3)), step: 7 };

test("a state comes back as it was; another teacher or network is refused", async () => {
  const run = { state: at("state") };
  await saveState(run, state, { teacher: "abc" });
  expect(await loadState(run, { teacher: "abc" }, 3)).toEqual(state);
  await expect(loadState(run, { teacher: "xyz" }, 3)).rejects.toThrow(/belongs to another teacher \(abc\).*\(xyz\)/);
  await expect(loadState(run, {}, 4)).rejects.toThrow(/has 3 values of "theta", expected 4/);
  await expect(loadState({ state: at("none") }, {}, 3)).rejects.toThrow(/does not exist\.$/);
});

test("a full disk and weights that are not finite leave the old state", async () => {
  const run = { state: at("state") };
  await saveState(run, state, {});
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
  await expect(saveState(run, { ...state, step: 8 }, {}, full)).rejects.toThrow(
    /could not be written: the disk is full/,
  );
  const broken = { ...state, step: 9, v: Float32Array.of(0, Number.NaN, 0) };
  await expect(saveState(run, broken, {})).rejects.toThrow(/"v" holds NaN at step 9, so that state was not saved/);
  expect(await readFile(stateFile(run))).toEqual(before);
});

test("a model whose card is a save behind tells how far its weights are", async () => {
  const { network, model, spec, theta } = tinyModel(linear(), u);
  const card = (imagesSeen: number): Card => ({
    format: 1,
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
