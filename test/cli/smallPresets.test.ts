// --preset small: its options exist, take effect, and yield to what is given.
import { describe, expect, test } from "vitest";
import { accelerateOptions, accelerateTeacher } from "../../src/node/accelerate.ts";
import type { Context } from "../../src/node/context.ts";
import { methodNamed, methods, presetOf } from "../../src/node/methods.ts";
import { flagName } from "../../src/node/options.ts";
import { silent } from "../../src/node/reporter.ts";
import { trainingOptions } from "../../src/node/training.ts";

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
  const small = presetOf(methodNamed(method), "small");

  test("its preset has options that exist, and every one takes effect", async () => {
    const own = methodNamed(method).options.shape;
    expect(Object.keys(small).filter((key) => !(key in own) && !(key in trainingOptions))).toEqual([]);
    expect(Object.keys(small).length).toBeGreaterThan(0);
    const options = await resolved({ method, preset: "small" });
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
    expect(await resolved({ method, preset: "small", ...given })).toMatchObject({ ...rest, "drop-labels": dropLabels });
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
  const options = await resolved({ method: "consistency", preset: "small", minutes: 3 });
  expect(options.minutes).toBe(3);
  expect(options.images).toBeUndefined();
});
