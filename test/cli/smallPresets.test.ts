// --preset small: its options exist, take effect, and yield to what is given.
import { describe, expect, test } from "vitest";
import { resolveOptions } from "../../src/node/accelerate.ts";
import { accelerateOptions } from "../../src/node/accelerateOptions.ts";
import type { Context } from "../../src/node/context.ts";
import { methodNamed, methods, presetOf } from "../../src/node/methods.ts";
import { flagName } from "../../src/node/options.ts";
import { recorded, trainingOptions } from "../../src/node/trainingOptions.ts";
import type { SampleKind } from "../../src/recipes/recipe.ts";

/** Options as options.json holds them. */
function resolved(given: object, kind: SampleKind = "images"): Record<string, unknown> {
  const asked = accelerateOptions.parse({ teacher: "anything", data: "toy:moons", ...given });
  const context = { runtime: { device: "cpu" }, seed: 0 } as Context;
  return JSON.parse(JSON.stringify(recorded("accelerate", resolveOptions(asked, kind).options, context)));
}

describe.each(methods)("%s", (method) => {
  test.each([
    "points",
    "images",
  ] as const)("its preset for %s has options that exist, and every one takes effect", (kind) => {
    const small = presetOf(methodNamed(method), "small", kind);
    const own = methodNamed(method).options.shape;
    expect(Object.keys(small).filter((key) => !(key in own) && !(key in trainingOptions))).toEqual([]);
    expect(Object.keys(small).length).toBeGreaterThan(0);
    const options = resolved({ method, preset: "small" }, kind);
    for (const [key, value] of Object.entries(small)) expect(options[flagName(key)], key).toBe(value);
    expect(options.preset).toBe("small");
  });

  test("what is given wins", () => {
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
    expect(resolved({ method, preset: "small", ...given }, "points")).toMatchObject({
      ...rest,
      "drop-labels": dropLabels,
    });
  });

  test("without it the defaults are the paper's", () => {
    const { lr, ema, images } = methodNamed(method).training;
    expect(resolved({ method })).toMatchObject({
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

test("minutes given: the preset's images are no second budget", () => {
  const options = resolved({ method: "consistency", preset: "small", minutes: 3 }, "points");
  expect(options.minutes).toBe(3);
  expect(options.images).toBeUndefined();
});
