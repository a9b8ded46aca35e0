// Every method on a teacher with classes: points and pictures, guidance, both precisions, gradient checkpointing, resume.
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { loadState } from "../../src/node/checkpoint.ts";
import { methodNamed } from "../../src/node/methods.ts";
import { loadModel } from "../../src/node/models.ts";
import { flagName } from "../../src/node/options.ts";
import { runAt } from "../../src/node/runDir.ts";
import { recipes } from "../../src/recipes/index.ts";
import { fewstep, scratchOnce } from "./fewstep.ts";
import { type TeacherKind, toyTeacher } from "./toyTeachers.ts";

const { at } = scratchOnce();
const BATCH = 4;
const PAIRS = 6;

interface Case {
  /** Few steps, guidance of 2 and every part of the loss, where the method has them. */
  readonly options: string;
  /** Network evaluations beside training, by hand: per image, and for all pairs. A guided one counts twice. */
  readonly nfe: readonly [perImage: number, pairs: number];
  readonly players?: readonly string[];
  readonly stages?: number;
  /** Guidance that the student has baked in. */
  readonly baked: number;
  /** Student's rows of the pictures. */
  readonly shown: readonly string[];
}
const pairs = `--pairs ${PAIRS} --teacher-steps 2`;
const few = ["1 step", "2 steps", "4 steps"];
const cases: Readonly<Record<(typeof recipes)[number]["name"], Case>> = {
  perflow: {
    options: "--guidance 2 --windows 2 --teacher-steps 2 --at-starts 0.5",
    nfe: [2 * 2, 0],
    baked: 2,
    shown: ["2 steps", "4 steps"],
  },
  "rectified-diffusion": {
    options: `--guidance 2 ${pairs}`,
    nfe: [0, PAIRS * 2 * 2],
    baked: 2,
    shown: ["1 step", "2 steps"],
  },
  "rectified-diffusion-phased": {
    options: "--guidance 2 --windows 2 --teacher-steps 2",
    nfe: [2 * 2, 0],
    baked: 2,
    shown: ["2 steps", "4 steps"],
  },
  "rectified-diffusion-cd": {
    options: `--guidance 2 ${pairs}`,
    nfe: [0.5, PAIRS * 2 * 2],
    baked: 2,
    stages: 2,
    shown: few,
  },
  // The second round's pairs are made without guidance: it is in the weights.
  reflow: {
    options: `--guidance 2 --rounds 2 ${pairs}`,
    nfe: [0, PAIRS * 2 * (2 + 1)],
    baked: 2,
    stages: 2,
    shown: few,
  },
  instaflow: {
    options: `--guidance 2 ${pairs}`,
    nfe: [0, PAIRS * 2 * (2 + 1)],
    baked: 2,
    stages: 2,
    shown: ["1 step"],
  },
  consistency: { options: "--guidance 2", nfe: [2, 0], baked: 2, shown: few },
  lcm: { options: "--guidance-min 1.5 --guidance-max 3 --embedding 8", nfe: [2, 0], baked: 1, shown: few },
  progressive: { options: "--from 2 --to 1", nfe: [2, 0], baked: 1, stages: 2, shown: ["1 step"] },
  dmd: {
    options: `--guidance 2 --gan 0.1 ${pairs}`,
    nfe: [2, PAIRS * 2 * 2],
    baked: 2,
    players: ["student", "critic"],
    shown: ["1 step"],
  },
  swiftbrush: {
    options: "--guidance 2 --rank 2",
    nfe: [2, 0],
    baked: 2,
    players: ["student", "critic"],
    shown: ["1 step"],
  },
  adversarial: {
    options: `--guidance 2 ${pairs}`,
    nfe: [3, PAIRS * 2 * 2],
    baked: 2,
    players: ["student", "critic"],
    shown: ["1 step"],
  },
  meanflow: { options: "--guidance 2", nfe: [1, 0], baked: 2, shown: few },
  scm: { options: "--guidance 2", nfe: [2, 0], baked: 2, shown: few },
};

const places = new Map<TeacherKind, { teacher: string; data: string }>();
beforeAll(async () => {
  for (const kind of ["mlp", "unet2d"] as const) places.set(kind, await toyTeacher(kind, at(kind)));
});

test("an option that several methods have is of one kind in all: one flag stands for it", () => {
  const kinds = new Map<string, Set<string>>();
  const kindOf = (schema: z.ZodType): string =>
    schema instanceof z.ZodDefault || schema instanceof z.ZodOptional
      ? kindOf(schema.unwrap() as z.ZodType)
      : schema.def.type;
  for (const { options } of recipes)
    for (const [name, schema] of Object.entries(options.shape))
      kinds.set(name, (kinds.get(name) ?? new Set()).add(kindOf(schema as z.ZodType)));
  expect(kinds.size).toBeGreaterThan(30);
  expect([...kinds].filter(([, found]) => found.size > 1)).toEqual([]);
});

test("every method is here", () => expect(Object.keys(cases)).toEqual(recipes.map(({ name }) => name)));

describe.each(recipes.map(({ name }) => [name] as const))("%s", (name) => {
  const { options, nfe, players = ["student"], stages = 1, baked, shown } = cases[name];
  const go = async (kind: TeacherKind, run: string, ...more: string[]) => {
    const { teacher, data } = places.get(kind) ?? { teacher: "", data: "" };
    const own = options === "" ? [] : options.split(" ");
    const common = ["--method", name, "--data", data, "--batch", String(BATCH), "--run", run, ...own];
    const { code, err } = await fewstep("accelerate", teacher, ...common, ...more);
    expect(code, err).toBe(0);
    return err;
  };
  /** Steps of three per stage, each of a batch. */
  const images = (steps: number) => String(stages * steps * BATCH);
  const check = async (run: string, kind: TeacherKind, steps: number) => {
    const progress = await loadState(runAt(run), {});
    expect([progress?.stage, progress?.state.step]).toEqual([stages - 1, steps]);
    expect(Object.keys(progress?.state.players ?? {})).toEqual(players);
    const { card, theta, model } = await loadModel(run);
    const teacher = await loadModel(places.get(kind)?.teacher ?? "");
    expect(theta.every(Number.isFinite)).toBe(true);
    expect([...theta.slice(0, 50)]).not.toEqual([...teacher.theta.slice(0, 50)]);
    expect(model.conditions.labels?.rows).toBe(4);
    expect(card).toMatchObject({ base: teacher.hash, imagesSeen: stages * steps * BATCH, guidance: { baked } });
    return card;
  };

  test("points, in half precision with gradient checkpointing", async () => {
    const run = at(`${name}-half`);
    const more = ["--precision", "float16", "--gradient-checkpointing", "--preview-every", "0"];
    await go("mlp", run, "--images", images(3), ...more);
    const card = await check(run, "mlp", 3);
    expect(card?.recipe.options).toMatchObject({ precision: "float16", "gradient-checkpointing": true });
  });

  test("pictures: stopped, resumed, and labeled pictures of it", async () => {
    const run = at(`${name}-pictures`);
    await go("unet2d", run, "--images", images(2), "--preview-every", "0");
    expect(await readdir(join(run, "samples"))).toEqual([]);
    const { teacher } = places.get("unet2d") ?? { teacher: "" };
    const more = ["--resume", run, "--images", String(Number(images(2)) + BATCH), "--preview-every", "4"];
    const { code, err } = await fewstep("accelerate", teacher, ...more);
    expect(code, err).toBe(0);
    expect(err).toMatch(/Going on at step 2 of [23] in /);
    const { card } = await loadModel(run);
    expect(card?.teacherNfe).toBe((card?.imagesSeen ?? 0) * nfe[0] + nfe[1]);
    // What the recipe says a pair costs is what its stages made.
    const recipe = methodNamed(name);
    const stored = card?.recipe.options ?? {};
    const own = Object.keys(recipe.options.shape).map((key) => [key, stored[flagName(key)]]);
    expect(recipe.teacherNfe(recipe.options.parse(Object.fromEntries(own))).perPair * PAIRS).toBe(nfe[1]);
    const pictures = (await readdir(join(run, "samples"))).filter((file) => file.endsWith(".svg"));
    expect(pictures.length).toBeGreaterThan(0);
    const svg = await readFile(join(run, "samples", pictures.at(-1) ?? ""), "utf8");
    const rows = [...svg.matchAll(/>((?:teacher|student), [^<]+)</g)].map(([, text]) => text);
    expect(rows.filter((row) => row.startsWith("student"))).toEqual(shown.map((steps) => `student, ${steps}`));
    expect(rows).toContain("teacher, 50 steps");
  });
});
