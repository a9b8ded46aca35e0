// fewstep accelerate on tiny Stable Diffusion folders: what is trained, kept, said and refused, and that the student's folder,
// delta and LoRA make the student's own pictures in generate.
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { encodePng } from "../../src/data/png.ts";
import { floatsOf, readSafetensors } from "../../src/data/safetensors.ts";
import { loadPipeline } from "../../src/diffusers/pipelineOutline.ts";
import { sessions } from "../../src/diffusers/sessions.ts";
import { textConditions } from "../../src/diffusers/textConditions.ts";
import { fromConstants } from "../../src/nn/params.ts";
import { loader, nothingMerged, outlineGenerator } from "../../src/node/generate/model.ts";
import { loadModel } from "../../src/node/models.ts";
import { silent } from "../../src/node/reporter.ts";
import { sampler, samplingGrid } from "../../src/run/sample.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { integrate, solverByName } from "../../src/solvers/index.ts";
import { writeTinyFolder } from "../support/tinyFolder.ts";
import { contents, failure, fewstep, interruptedFewstep, onlyRun, scratchOnce } from "./fewstep.ts";

const { at } = scratchOnce();
const slow = 240_000;
let [sd, data] = ["", ""];

const captions = ["a cat", "a dog", "a red house", "a boat at night", "", "a cat"];

/** Smooth pictures of several sizes, and a caption beside each. */
function writeCaptioned(folder: string): string {
  mkdirSync(folder, { recursive: true });
  captions.forEach((caption, k) => {
    const [width, height] = [8 + 2 * k, 12];
    const values = Uint8Array.from({ length: 3 * width * height }, (_, i) => 127 + 120 * Math.sin(i / (5 + k)));
    writeFileSync(join(folder, `p${k}.png`), encodePng({ width, height, channels: 3, data: values }));
    writeFileSync(join(folder, `p${k}.txt`), `${caption}\n`);
  });
  return folder;
}

beforeAll(() => {
  sd = writeTinyFolder(at("sd"));
  data = writeCaptioned(at("data"));
});

const few = ["--images", "8", "--batch", "4", "--warmup", "0"];
const perflow = ["--method", "perflow", "--windows", "2", "--teacher-steps", "2", "--lr", "0.01", "--ema", "0.5"];
const accelerate = (...args: readonly string[]) =>
  fewstep("accelerate", sd, "--data", data, "--cache-dir", at("cache"), ...args);

async function trained(name: string, ...args: readonly string[]) {
  const ended = await accelerate("--out", at(name), ...few, ...args);
  expect(ended.code, ended.err).toBe(0);
  return { ...ended, run: await onlyRun(at(name)) };
}

async function done(...args: readonly string[]) {
  const ended = await fewstep(...args);
  expect(ended.code, ended.err).toBe(0);
  return ended;
}

/** Pictures, latents and noise of a generate. */
async function made(name: string, ...args: readonly string[]) {
  const ended = await done("generate", ...args, "--out", at(`${name}.png`), "--save", at(`${name}.safetensors`));
  const { tensors } = readSafetensors(readFileSync(at(`${name}.safetensors`)));
  return { ...ended, latents: floatsOf(tensors, "latents"), noise: floatsOf(tensors, "noise") };
}

const apart = (a: Float32Array, b: Float32Array) => {
  expect(a.length).toBe(b.length);
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0);
};

/** Where the student's own sampler ends from this noise and prompt. */
async function ownLatents(run: string, prompt: string, noise: Float32Array, steps: number, guidance = 1) {
  const runtime = nodeRuntime({ threads: 1 });
  const outline = await outlineGenerator({
    model: sd,
    variant: undefined,
    base: undefined,
    safety: false,
    vae: undefined,
  });
  const parts = await loadPipeline(outline, loader(nothingMerged, { report: silent }));
  const open = sessions(runtime);
  const { context } = await textConditions(open, parts, [prompt], {});
  await open.end("");
  const { model, params, sampler: how } = await loadModel(run);
  const ready = await sampler(model, fromConstants(params), runtime, 1, { guidance });
  const times = samplingGrid(model.form, how.grid, steps, model.prediction);
  const x = await integrate<Float32Array>(solverByName(how.solver), {
    ...{ form: model.form, prediction: model.prediction, times, x: noise },
    predict: async (state, t) => (await ready.predict(state, t, { text: context.data })).slice(),
    noise: () => {
      throw new Error("No noise is expected here.");
    },
  });
  await ready.dispose();
  return x;
}

const prompt = ["--prompt", "a boat at night", "--seed", "3"];

describe("PeRFlow with guidance", () => {
  let run = "";

  it("trains on pictures that are encoded once, shows its captions, and says what to do next", {
    timeout: slow,
  }, async () => {
    const first = await trained("perflow", ...perflow, "--guidance", "2");
    run = first.run;
    expect(first.err).toMatch(/encode {2}.*pictures/);
    expect(first.err).toMatch(/perflow {2}8 of 8/);
    expect(first.err).toContain(`fewstep export ${run} --to diffusers`);
    const card = JSON.parse(readFileSync(join(run, "model/card.json"), "utf8"));
    expect(card).toMatchObject({
      network: { family: "unet2d-condition" },
      form: { kind: "chord", windows: { count: 2 } },
      ...{ imagesSeen: 8, guidance: { baked: 2 } },
      recipe: { method: "perflow", options: { data: "data", teacher: "sd", train: "full" } },
    });
    expect(card.recipe.options).not.toHaveProperty("cache-dir");
    expect(readFileSync(join(run, "model/README.md"), "utf8")).toContain("pipeline_tag: text-to-image");
    expect(readdirSync(join(run, "samples")).filter((name) => name.endsWith(".png"))).not.toEqual([]);
    const second = await trained("perflow-again", ...perflow, "--guidance", "2");
    expect(second.err).toContain("6 of 6 pictures are encoded already.");
    expect((await contents(second.run))["model/model.safetensors"]).toBe(
      (await contents(run))["model/model.safetensors"],
    );
  });

  it("goes on to the bytes of a run that was not stopped", { timeout: slow }, async () => {
    const args = [...perflow, "--decay", "constant", "--save-every", "4", "--preview-every", "0"];
    const whole = await trained("whole", ...args, "--images", "16");
    const half = await trained("half", ...args);
    await done("accelerate", "--resume", half.run, "--images", "16");
    expect(await contents(half.run)).toEqual(await contents(whole.run));
  });

  it("stops while it encodes, and keeps what is encoded", { timeout: slow }, async () => {
    const { code, err } = await interruptedFewstep(
      ...["accelerate", sd, "--data", data, "--cache-dir", at("other-cache"), "--out", at("none"), ...few, ...perflow],
    );
    expect([code, err]).toEqual([130, expect.stringContaining("What was encoded so far is kept")]);
  });

  it("becomes a folder like its teacher's, which generate samples as the student is sampled", {
    timeout: slow,
  }, async () => {
    await done("export", run, "--to", "diffusers", "--out", at("student"));
    const weights = (folder: string) =>
      readSafetensors(readFileSync(join(folder, "unet/diffusion_pytorch_model.safetensors"))).tensors;
    const facts = (folder: string) => [...weights(folder)].map(([name, { dtype, shape }]) => [name, dtype, shape]);
    expect(facts(at("student"))).toEqual(facts(sd));
    const files = (folder: string) => readdirSync(folder, { recursive: true }).map(String).sort();
    expect(files(at("student"))).toEqual([...files(sd), "README.md"].sort());
    const scheduler = JSON.parse(readFileSync(at("student/scheduler/scheduler_config.json"), "utf8"));
    expect(scheduler).toMatchObject({
      ...{ _class_name: "PeRFlowScheduler", num_time_windows: 2, prediction_type: "ddim_eps" },
      fewstep: { steps: 2, guidance: 1 },
    });
    const { out, latents, noise } = await made("student-picture", at("student"), ...prompt);
    expect(out).toContain("perflow, 2 steps, guidance 1");
    expect(apart(latents, await ownLatents(run, "a boat at night", noise, 2))).toBeLessThan(2e-4);
    const four = await made("student-four", at("student"), ...prompt, "--steps", "4");
    expect(apart(four.latents, await ownLatents(run, "a boat at night", noise, 4))).toBeLessThan(2e-4);
    // The teacher is another model, and so would be a student that was told times one later.
    const teacher = await made("teacher-picture", sd, ...prompt, "--steps", "2", "--guidance", "1");
    expect(apart(latents, teacher.latents)).toBeGreaterThan(1e-2);
  });

  it("its delta plugs into its base and into another", { timeout: slow }, async () => {
    const delta = at("student-delta.safetensors");
    await done("delta", "extract", sd, run, "--out", delta);
    const student = await made("by-folder", at("student"), ...prompt);
    const plugged = await made("by-delta", sd, "--delta", delta, ...prompt);
    expect(plugged.out).toContain("perflow, 2 steps, guidance 1");
    expect(apart(plugged.latents, student.latents)).toBeLessThan(1e-5);
    await done("delta", "apply", sd, "--delta", delta, "--out", at("applied"));
    expect(apart((await made("by-apply", at("applied"), ...prompt)).latents, student.latents)).toBeLessThan(1e-5);
    const other = writeTinyFolder(at("fine-tuned"), { seed: 30 });
    const moved = await made("other-delta", other, "--delta", delta, ...prompt);
    expect(moved.err).toContain("was extracted from another base");
    await done("delta", "apply", other, "--delta", delta, "--out", at("other-applied"));
    expect(apart((await made("other-apply", at("other-applied"), ...prompt)).latents, moved.latents)).toBeLessThan(
      1e-5,
    );
    expect(apart(moved.latents, student.latents)).toBeGreaterThan(1e-3);
  });

  it("is not sampled without words", { timeout: slow }, async () => {
    expect(await failure(2, "sample", run, "--save", at("x.safetensors"))).toContain("is a text-to-image student");
    expect(await failure(1, "generate", run, "--prompt", "a cat")).toContain(`fewstep export ${run} --to diffusers`);
    expect(await failure(2, "export", run, "--to", "onnx", "--out", at("onnx"))).toContain("--to diffusers");
  });
});

it("--train lora writes the student and its LoRA, which generate takes", { timeout: slow }, async () => {
  const { run } = await trained("lora", ...perflow, "--train", "lora", "--rank", "2");
  await done("export", run, "--to", "diffusers", "--out", at("lora-student"));
  const student = await made("lora-folder", at("lora-student"), ...prompt, "--guidance", "2");
  const lora = join(run, "model/lora.safetensors");
  const plugged = await made("lora-file", sd, "--lora", lora, ...prompt, "--guidance", "2");
  expect(plugged.out).toContain("perflow, 2 steps, guidance 2");
  expect(apart(plugged.latents, student.latents)).toBeLessThan(1e-5);
  const plain = await made("lora-none", sd, ...prompt, "--guidance", "2", "--steps", "2");
  expect(apart(plain.latents, student.latents)).toBeGreaterThan(1e-3);
  const names = [...readSafetensors(readFileSync(lora)).tensors.keys()];
  expect(names.every((name) => /^unet\..*\.lora_[AB]\.weight$/.test(name))).toBe(true);
});

it("Rectified Diffusion learns from pairs of captions, and its folder samples with DDIM", {
  timeout: slow,
}, async () => {
  const args = ["--method", "rectified-diffusion", "--pairs", "6", "--teacher-steps", "2", "--guidance", "3"];
  const { run, err } = await trained("rd", ...args);
  expect(err).toMatch(/pairs {2}6 of 6/);
  await done("export", run, "--to", "diffusers", "--out", at("rd-student"));
  const one = await made("rd-one", at("rd-student"), ...prompt);
  expect(one.out).toContain("ddim, 1 steps, guidance 1");
  expect(apart(one.latents, await ownLatents(run, "a boat at night", one.noise, 1))).toBeLessThan(2e-4);
  const two = await made("rd-two", at("rd-student"), ...prompt, "--steps", "2");
  expect(apart(two.latents, await ownLatents(run, "a boat at night", two.noise, 2))).toBeLessThan(2e-4);
});

it("LCM's student is told its guidance, and its folder has the layer for it", { timeout: slow }, async () => {
  const { run } = await trained("lcm", "--method", "lcm", "--embedding", "8", "--lr", "0.01");
  await done("export", run, "--to", "diffusers", "--out", at("lcm-student"));
  const config = JSON.parse(readFileSync(at("lcm-student/unet/config.json"), "utf8"));
  expect(config.time_cond_proj_dim).toBe(8);
  const picture = await made("lcm-picture", at("lcm-student"), ...prompt);
  expect(picture.out).toContain("lcm, 4 steps, guidance 5");
  const one = await made("lcm-one", at("lcm-student"), ...prompt, "--steps", "1", "--guidance", "3");
  const own = await ownLatents(run, "a boat at night", one.noise, 1, 3);
  // LCMScheduler ends at the data, fewstep at the first entry of the table: 0.9996 of it.
  expect(apart(one.latents, own) / Math.max(...own.map(Math.abs))).toBeLessThan(1e-3);
});

it("SDXL is trained with both texts and the sizes", { timeout: slow }, async () => {
  const xl = writeTinyFolder(at("xl"), { xl: true });
  const args = ["--cache-dir", at("cache"), "--out", at("xl-runs"), ...few, ...perflow, "--guidance", "2"];
  await done("accelerate", xl, "--data", data, ...args);
  await done("export", await onlyRun(at("xl-runs")), "--to", "diffusers", "--out", at("xl-student"));
  expect((await made("xl-picture", at("xl-student"), ...prompt)).out).toContain("perflow, 2 steps");
});

/** A method of each kind of source and players, and whether diffusers has a scheduler for its students. */
const others: Readonly<Record<string, boolean>> = {
  "rectified-diffusion-phased": true,
  consistency: false,
  progressive: true,
  swiftbrush: true,
  meanflow: false,
  scm: false,
};

describe("other methods train, and are exported or say why not", () => {
  for (const [method, exported] of Object.entries(others))
    it(method, { timeout: slow }, async () => {
      const out = at(`method-${method}`);
      const args = ["--method", method, "--out", out, "--images", "4", "--batch", "2", "--preview-every", "0"];
      const { code, err } = await accelerate(...args);
      expect(code, err).toBe(0);
      const folder = ["--to", "diffusers", "--out", at(`folder-${method}`)];
      const made = await fewstep("export", await onlyRun(out), ...folder);
      if (exported) expect(made.code, made.err).toBe(0);
      else expect([made.code, made.err]).toEqual([1, expect.stringContaining("cannot be a diffusers folder: ")]);
    });
});

describe("what is refused", () => {
  const bad = (name: string, change: (folder: string) => void) => {
    cpSync(data, at(name), { recursive: true });
    change(at(name));
    return at(name);
  };
  const refused = (code: 1 | 2, ...args: readonly string[]) =>
    failure(code, "accelerate", sd, "--cache-dir", at("cache"), "--out", at("refused"), ...few, ...perflow, ...args);

  it("data", { timeout: slow }, async () => {
    const nothing = bad("no-caption", (f) => rmSync(join(f, "p1.txt")));
    expect(await refused(1, "--data", nothing)).toMatch(/has 1 picture without a caption \(p1\.png\)/);
    const broken = bad("broken", (f) => writeFileSync(join(f, "p2.png"), "no picture"));
    expect(await refused(1, "--data", broken)).toContain("p2.png");
    const seeThrough = bad("transparent", (f) =>
      writeFileSync(
        join(f, "p0.png"),
        encodePng({ width: 8, height: 8, channels: 4, data: new Uint8Array(256).fill(9) } as never),
      ),
    );
    expect(await refused(1, "--data", seeThrough)).toContain("transparent");
    mkdirSync(at("empty-data"));
    expect(await refused(1, "--data", at("empty-data"))).toContain("has no PNG, JPEG or WebP files");
    const pairs = ["--method", "rectified-diffusion", "--cache-dir", at("cache"), "--out", at("refused")];
    expect(await failure(2, "accelerate", sd, ...pairs)).toMatch(
      /^--data is missing: a text-to-image teacher needs pictures with captions/,
    );
    expect(existsSync(at("refused"))).toBe(false);
  });

  it("options", { timeout: slow }, async () => {
    const given = ["--data", data];
    expect(await refused(2, ...given, "--resolution", "10")).toContain("--resolution is 10, expected a multiple of 4");
    expect(await refused(2, ...given, "--rank", "4")).toBe("--rank belong to --train lora.");
    expect(await refused(2, ...given, "--train", "lora", "--layers", "down.9")).toContain('no layer "down.9"');
    expect(await refused(2, ...given, "--student", "fresh")).toContain("begins as its teacher");
    writeFileSync(at("prompts.txt"), "\n");
    expect(await refused(2, ...given, "--preview-prompts", at("prompts.txt"))).toContain("has 0 prompts");
    expect(existsSync(at("refused"))).toBe(false);
  });
});
