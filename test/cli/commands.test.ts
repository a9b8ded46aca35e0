// The commands from a teacher to a report, on points of the plane and networks of a few hundred parameters.
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { command } from "../../src/cli/command.ts";
import { commands } from "../../src/cli/commands/index.ts";
import { exitCode } from "../../src/cli/exitCode.ts";
import { runProgram } from "../../src/cli/program.ts";
import { fewestSamples } from "../../src/node/features.ts";
import { readJson, readSafetensors } from "../../src/node/files.ts";
import { loadModel } from "../../src/node/models.ts";
import { version } from "../../src/version.ts";
import { type Event, fewstep, fewstepProcess, onlyRun, root, scratchOnce } from "./fewstep.ts";

const { at } = scratchOnce();
let teacher: string;

const events = (out: string): Event[] =>
  out
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

beforeAll(async () => {
  const ended = await fewstep(
    ..."train --data toy:8gaussians@4096 --form linear --width 32 --depth 2 --batch 64 --images 25600 --lr 3e-3".split(
      " ",
    ),
    ...["--preview-every", "25600", "--json", "--out", at("teachers")],
  );
  expect(ended.code, ended.err).toBe(0);
  teacher = await onlyRun(at("teachers"));
  expect([...new Set(events(ended.out).map(({ kind }) => kind))]).toEqual([
    "run",
    "stage",
    "checkpoint",
    "step",
    "preview",
    "done",
  ]);
});

test("a run folder holds options, log, pictures, model and state", async () => {
  expect((await readdir(teacher)).sort()).toEqual([
    expect.stringMatching(/^events\.out\.tfevents\.\d+\./),
    "log.jsonl",
    "loss.png",
    "loss.svg",
    "model",
    "options.json",
    "samples",
    "state",
  ]);
  expect(await readdir(join(teacher, "samples"))).toEqual(["000025600.png", "000025600.svg"]);
  expect(teacher).toMatch(/00000-flow-matching-8gaussians-4096-b64$/);
  const options = await readJson(join(teacher, "options.json"));
  expect(options).toMatchObject({
    command: "train",
    batch: 64,
    images: 25600,
    form: "linear",
    prediction: "u",
    seed: 0,
  });
  const again = await fewstep("train", "--config", join(teacher, "options.json"), "--dry-run");
  expect(JSON.parse(again.out), "options.json is a config file").toEqual({ ...Object(options), out: at("teachers") });
});

describe("accelerate", () => {
  const accelerate = async (method: string, ...more: string[]) => {
    const out = at(`students-${method}`);
    const ended = await fewstep(
      ...["accelerate", teacher, "--method", method, "--images", "640", "--preview-every", "0", "--out", out, ...more],
    );
    expect(ended.code, ended.err).toBe(0);
    return loadModel(await onlyRun(out));
  };
  test("perflow: the chord of the teacher's form, velocity like the teacher", async () => {
    const { model, card, hash } = await accelerate("perflow", "--data", "toy:8gaussians@512", "--windows", "2");
    expect([model.form.name, model.prediction.name]).toEqual(["chord(linear, 2)", "u"]);
    expect(card).toMatchObject({
      base: (await loadModel(teacher)).hash,
      imagesSeen: 640,
      teacherNfe: 640 * 8,
      sampler: { solver: "ddim", steps: [2, 4] },
      recipe: { method: "perflow" },
      library: version,
    });
    expect(hash).not.toBe(card?.base);
    expect(JSON.stringify(card), "no paths of this machine").not.toContain(at());
  });
  test("rectified diffusion (phased): the teacher's form and prediction", async () => {
    const data = ["--data", "toy:8gaussians@512", "--images", "64", "--preview-every", "0"];
    const phased = ["--method", "rectified-diffusion-phased", "--windows", "2", "--teacher-steps", "2", ...data];
    const done = await fewstep("accelerate", teacher, ...phased, "--out", at("phased"));
    expect(done.code, done.err).toBe(0);
    const { model, card } = await loadModel(at("phased"));
    expect([model.form.name, model.prediction.name]).toEqual(["linear", "u"]);
    expect(card?.sampler).toMatchObject({ grid: { kind: "windows" }, steps: [2, 4] });
  });
  test("rectified diffusion: pairs of the teacher, counted", async () => {
    const options = ["--pairs", "100", "--pairs-mb", "0.0008", "--teacher-steps", "3", "--pairs-dir", at("pairs")];
    const { card, path } = await accelerate("rectified-diffusion", ...options);
    // A pair is two points: 16 bytes, so 0.0008 MB hold 50.
    expect(card?.teacherNfe).toBe(50 * 3);
    expect(await readdir(at("pairs"))).toEqual(["pairs-00000.safetensors", "pairs.json"]);
    expect((await fewstep("info", at("pairs"))).out).toMatch(
      /teacher pairs in 1 shards of up to 256, made with ddim in 3 steps/,
    );
    expect((await fewstep("info", path)).out).toMatch(/a student \(rectified-diffusion\)/);
  });
});

test("samples are the same in another process and with another batch", async () => {
  const sample = (file: string, batch: string) => [
    ...["sample", teacher, "--steps", "5", "--n", "40", "--seed", "7", "--batch", batch],
    ...["--out", at("grid.png"), "--save", at(file)],
  ];
  const here = await fewstep(...sample("a.safetensors", "40"));
  expect(here.code, here.err).toBe(0);
  expect(here.out).toMatch(/40 samples of .* with euler, 5 network evaluations each/);
  expect((await fewstepProcess(sample("b.safetensors", "40"))).code).toBe(0);
  expect((await fewstep(...sample("c.safetensors", "7"))).code).toBe(0);
  const [a, b] = [await readFile(at("a.safetensors")), await readFile(at("b.safetensors"))];
  expect(a.equals(b)).toBe(true);
  const read = async (file: string) => (await readSafetensors(at(file))).tensors.get("x")?.data as Float32Array;
  const [x, y] = [await read("a.safetensors"), await read("c.safetensors")];
  expect(Math.max(...x.map((v, i) => Math.abs(v - y[i])))).toBeLessThan(1e-5);
  expect((await readFile(at("grid.png"))).subarray(1, 4).toString()).toBe("PNG");
});

test("evaluate: a table, a report, charts; more steps end closer to the teacher", async () => {
  const out = at("evaluation");
  const ended = await fewstep(
    ...[
      "evaluate",
      teacher,
      "--teacher",
      teacher,
      "--data",
      "toy:8gaussians@2000",
      "--steps",
      "1,8",
      "--path-steps",
      "20",
      "--n",
      "300",
      "--out",
      out,
    ],
  );
  expect(ended.code, ended.err).toBe(0);
  expect(ended.out).toMatch(/^model +steps +NFE +endpoint +sliced-wasserstein/);
  expect((await readdir(out)).sort()).toEqual(
    expect.arrayContaining([
      "endpoint.png",
      "endpoint.svg",
      "paths.png",
      "paths.svg",
      "report.json",
      "sliced-wasserstein.svg",
    ]),
  );
  const reportSchema = z.object({
    results: z.array(
      z.object({
        role: z.string(),
        evaluations: z.array(
          z.object({ nfe: z.number(), values: z.record(z.string(), z.object({ value: z.number() })) }),
        ),
      }),
    ),
  });
  const { results } = reportSchema.parse(await readJson(join(out, "report.json")));
  expect(results.map(({ role }) => role)).toEqual(["teacher"]);
  expect(ended.out).toMatch(/^path +along +straightness +FO_r +FO_N +drift +gap +bow$/m);
  expect(ended.out).toMatch(/its flow \(20\)/);
  const [one, eight] = results[0].evaluations;
  expect([one.nfe, eight.nfe]).toEqual([1, 8]);
  expect(eight.values.endpoint.value).toBeLessThan(one.values.endpoint.value / 3);
  expect(eight.values["sliced-wasserstein"].value).toBeLessThan(one.values["sliced-wasserstein"].value);
});

test("evaluate: what few samples cannot tell is not printed, and the note says how many can", async () => {
  const evaluate = (...more: string[]) =>
    fewstep("evaluate", teacher, "--path-steps", "0", "--steps", "2", "--out", at("few"), ...more);
  const few = await evaluate("--data", "toy:8gaussians@2000", "--n", "4");
  expect(few.code, few.err).toBe(0);
  expect(few.out).toMatch(/^model +steps +NFE +per sample$/m);
  expect(few.out).toContain("4 samples are too few to be compared by 2 coordinates: at least 50 are needed (--n 50).");
  expect(await readdir(at("few"))).toEqual(["report.json"]);
  const enough = await evaluate("--data", "toy:8gaussians@2000", "--n", "50");
  expect(enough.out).toMatch(/^model +steps +NFE +sliced-wasserstein +gaussian-mmd +precision +recall +per sample$/m);
  const little = await evaluate("--data", "toy:8gaussians@10", "--n", "100");
  expect(little.out).toContain("The 10 samples of the data are too few to be compared by 2 coordinates");
  expect([fewestSamples(2), fewestSamples(64), fewestSamples(2048)]).toEqual([50, 128, 200]);
});

test("info: a run, a diffusers folder, data", async () => {
  const run = await fewstep("info", teacher);
  expect(run.out).toMatch(/a run of fewstep train\.\nIt logged step 400: 25,600 of 25,600 images/);
  expect(run.out).toMatch(/predicts u on the form linear/);
  expect((await fewstep("info", join(root, "assets/mnist-teacher"))).out).toMatch(
    /a diffusers folder\.\nIt predicts eps on the form table\.\nIts network is unet2d with 687,473 parameters; samples are 1 x 28 x 28, 10 classes/,
  );
  expect((await fewstep("info", join(root, "assets/mnist-small"))).out).toMatch(
    /10,000 images of 28 x 28 with 1 channel, 10 classes/,
  );
  expect((await fewstep("--json", "info", "toy:moons")).out).toMatch(
    /^\{"kind":"info","path":"toy:moons","what":"data"/,
  );
});

test("--version, --help, no command", async () => {
  const { version: stated } = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
  expect(version).toBe(stated);
  expect(await fewstep("--version")).toEqual({ code: 0, out: `${version}\n`, err: "" });
  const help = await fewstep("accelerate", "--help");
  expect(help.code).toBe(0);
  expect(help.out).toMatch(/--teacher-steps <n>/);
  expect(help.out).toMatch(/--seed <n>/);
  expect((await fewstep()).code).toBe(2);
});

test("an option's name, type and default come from its schema", async () => {
  let seen: unknown;
  const probe = command({
    name: "probe",
    summary: "Shows its options.",
    positional: ["files"],
    options: z.object({
      files: z.array(z.string()).default([]),
      stepCounts: z.array(z.int()).default([1, 2]),
      isOn: z.boolean().default(false),
      mode: z.enum(["a", "b"]).default("a"),
    }),
    run: async (options) => {
      seen = options;
    },
  });
  const streams = { stdout: { write: () => {} }, stderr: { write: () => {} } };
  expect(await runProgram([probe], ["probe", "x", "y", "--step-counts", "4, 8", "--is-on"], streams)).toBe(
    exitCode.done,
  );
  expect(seen).toEqual({ files: ["x", "y"], stepCounts: [4, 8], isOn: true, mode: "a" });
  expect(await runProgram([probe], ["probe", "--step-counts", "4,x"], streams)).toBe(exitCode.wrongUse);
  expect(commands.map(({ name }) => name)).toEqual([
    "train",
    "accelerate",
    "pairs",
    "sample",
    "evaluate",
    "compare",
    "generate",
    "delta",
    "export",
    "studio",
    "info",
    "doctor",
  ]);
});
