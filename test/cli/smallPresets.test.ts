// --preset small: its options exist, take effect, and yield to what is given.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { accelerateOptions, accelerateTeacher } from "../../src/node/accelerate.ts";
import type { Context } from "../../src/node/context.ts";
import { methodNamed, methods, presetOf } from "../../src/node/methods.ts";
import { flagName } from "../../src/node/options.ts";
import { silent } from "../../src/node/reporter.ts";
import { trainingOptions } from "../../src/node/training.ts";
import { toyTeacher } from "./toyTeachers.ts";

/** A teacher of points, made here, and one of images. */
const teachers = { points: "", images: "assets/mnist-teacher" };
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "fewstep-presets-"));
  teachers.points = (await toyTeacher("mlp", folder)).teacher;
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** What --dry-run prints. */
async function resolved(given: object): Promise<Record<string, unknown>> {
  let printed = "";
  const report = {
    ...silent,
    result: (text: string) => {
      printed = text;
    },
  };
  const context = { report, runtime: { device: "cpu" }, signal: new AbortController().signal, seed: 0 };
  await accelerateTeacher(
    accelerateOptions.parse({ teacher: "anything", data: "toy:moons", dryRun: true, ...given }),
    context as unknown as Context,
  );
  return JSON.parse(printed) as Record<string, unknown>;
}

describe.each(methods)("%s", (method) => {
  test.each([
    "points",
    "images",
  ] as const)("its preset for %s has options that exist, and every one takes effect", async (kind) => {
    const small = presetOf(methodNamed(method), "small", kind);
    const own = methodNamed(method).options.shape;
    expect(Object.keys(small).filter((key) => !(key in own) && !(key in trainingOptions))).toEqual([]);
    expect(Object.keys(small).length).toBeGreaterThan(0);
    const options = await resolved({ method, preset: "small", teacher: teachers[kind] });
    for (const [key, value] of Object.entries(small)) expect(options[flagName(key)], key).toBe(value);
    expect(options.preset).toBe("small");
  });

  test("what is given wins", async () => {
    const given = {
      batch: 32,
      warmup: 7,
      lr: 0.5,
      ema: 0.5,
      images: 320,
      clip: 3,
      decay: "constant",
      dropLabels: 0.25,
    };
    const { dropLabels, ...rest } = given;
    expect(await resolved({ method, preset: "small", teacher: teachers.points, ...given })).toMatchObject({
      ...rest,
      "drop-labels": dropLabels,
    });
  });

  test("without it the defaults are the paper's", async () => {
    const { lr, ema, images } = methodNamed(method).training;
    expect(await resolved({ method })).toMatchObject({
      lr,
      ema,
      images,
      batch: 64,
      warmup: 20,
      clip: 1,
      decay: "cosine",
    });
  });
});

test("minutes given: the preset's images are no second budget", async () => {
  const options = await resolved({ method: "consistency", preset: "small", teacher: teachers.points, minutes: 3 });
  expect(options.minutes).toBe(3);
  expect(options.images).toBeUndefined();
});
