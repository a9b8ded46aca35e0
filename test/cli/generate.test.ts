// fewstep generate on tiny folders: what is written, what the options change, and what is refused.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { encodePng } from "../../src/data/png.ts";
import { textOf } from "../../src/data/pngText.ts";
import { floatsOf, readSafetensors } from "../../src/data/safetensors.ts";
import { decodeImage } from "../../src/node/decode.ts";
import { samplerNames } from "../../src/node/generate/sampler.ts";
import { randomWeights } from "../support/tinyDiffusion.ts";
import {
  writeTinyControlNet,
  writeTinyFolder,
  writeTinyIpAdapter,
  writeTinySafety,
  writeTinyT2IAdapter,
  writeWeights,
} from "../support/tinyFolder.ts";
import { type Ended, failure, fewstep, interruptedFewstep, scratchOnce } from "./fewstep.ts";

const { at } = scratchOnce();
const slow = 120_000;
let sd = "";

/** A smooth picture. */
function writePicture(file: string, width: number, height: number, phase = 0): string {
  const data = Uint8Array.from({ length: 3 * width * height }, (_, i) => 127 + 120 * Math.sin(i / 7 + phase));
  writeFileSync(file, encodePng({ width, height, channels: 3, data }));
  return file;
}
beforeAll(() => {
  sd = writeTinyFolder(at("sd"));
  writePicture(at("eight.png"), 8, 8);
  writePicture(at("other.png"), 8, 8, 2);
  writePicture(at("wide.png"), 12, 10);
  writeTinyControlNet(at("controlnet"));
  writeTinyT2IAdapter(at("t2i"));
  writeTinyIpAdapter(at("ip"));
});

let made = 0;
/** Runs it to a new file, and gives its pixels and the JSON in it. */
async function generated(...args: readonly string[]) {
  const out = at(`made-${made++}.png`);
  const ended = await fewstep("generate", ...args, "--out", out);
  expect(ended.err.split("\n").filter((line) => line.startsWith("Error"))).toEqual([]);
  expect(ended.code).toBe(0);
  return { ...(await opened(out)), ended, out };
}
async function opened(file: string) {
  const bytes = new Uint8Array(readFileSync(file));
  const texts = new Map(textOf(bytes).map(({ keyword, text }) => [keyword, text]));
  const image = await decodeImage(bytes, file);
  return { image, texts, recipe: JSON.parse(texts.get("fewstep") ?? "{}") as Record<string, unknown> };
}
const apart = (a: Uint8Array, b: Uint8Array) => a.reduce((sum, value, i) => sum + Math.abs(value - b[i]), 0) / a.length;
const two = ["--prompt", "a cat", "--steps", "2"];

describe("what is written", () => {
  it("one picture that says how it was made, in words and as JSON, the same for the same seed", {
    timeout: slow,
  }, async () => {
    const args = [sd, ...two, "--negative", "dull — and gray", "--seed", "7", "--guidance", "3"];
    const one = await generated(...args);
    expect([one.image.width, one.image.height, one.image.channels]).toEqual([8, 8, 3]);
    expect(one.texts.get("Software")).toBe("fewstep");
    expect(one.texts.get("parameters")).toMatch(
      /^a cat\nNegative prompt: dull — and gray\nSteps: 2, Sampler: ddim, CFG scale: 3, Seed: 7, Size: 8x8, Model: sd, Version: fewstep /,
    );
    expect(one.recipe).toMatchObject({
      ...{ prompt: "a cat", negative: "dull — and gray", seed: 7, sampler: "ddim", steps: 2, guidance: 3 },
      ...{ width: 8, height: 8, model: "sd", evaluations: 2, scheduler: { _class_name: "DDIMScheduler" } },
    });
    expect(one.ended.out).toMatch(/^\S+made-\d+\.png: 8 x 8, ddim, 2 steps, guidance 3, seed 7, \d+ s\.\n$/);
    expect(one.ended.err).toMatch(/sd {2}2 of 2 evaluations {2}100 %/);
    const again = await generated(...args);
    expect(again.image.data).toEqual(one.image.data);
    expect(
      apart((await generated(...args.slice(0, -3), "8", "--guidance", "3")).image.data, one.image.data),
    ).toBeGreaterThan(0);
  });

  it("several: each as a file under its seed, a labeled grid, numbers that can be started from again", {
    timeout: slow,
  }, async () => {
    const args = [sd, ...two, "--n", "3", "--seed", "5", "--batch", "2", "--save", at("numbers.safetensors")];
    const many = await generated(...args, "--preview", at("preview.png"));
    const files = [5, 6, 7].map((seed) => many.out.replace(/\.png$/, `-${seed}.png`));
    const singles = await Promise.all(files.map(opened));
    expect(singles.map(({ recipe }) => recipe.seed)).toEqual([5, 6, 7]);
    expect(many.recipe).toMatchObject({ seeds: [5, 6, 7] });
    // Two rows of two with captions: larger than the pictures alone.
    expect(many.image.width).toBeGreaterThan(2 * 8);
    expect(many.image.height).toBeGreaterThan(2 * (8 + 20));
    expect(new Set(many.image.data).size).toBeGreaterThan(50);
    expect((await opened(at("preview.png"))).image.width).toBeGreaterThan(200);
    // Picture 2 of three is the one of its own seed.
    const alone = await generated(sd, ...two, "--seed", "6");
    expect(apart(alone.image.data, singles[1].image.data)).toBeLessThan(0.2);
    const { tensors } = readSafetensors(readFileSync(at("numbers.safetensors")), "numbers");
    expect(["pictures", "latents", "noise"].map((name) => tensors.get(name)?.shape)).toEqual([
      [3, 3, 8, 8],
      [3, 4, 4, 4],
      [3, 4, 4, 4],
    ]);
    expect(Math.abs(floatsOf(tensors, "noise").reduce((sum, v) => sum + v * v, 0) / 192 - 1)).toBeLessThan(0.5);
    const same = await generated(sd, ...two, "--noise", at("numbers.safetensors"));
    expect(apart(same.image.data, singles[0].image.data)).toBeLessThan(0.2);
    expect(
      await failure(1, "generate", sd, ...two, "--n", "4", "--noise", at("numbers.safetensors"), "--out", at("x.png")),
    ).toContain("has noise of shape [3,4,4,4], expected that of 4 pictures");
  });

  it("nothing over files of others, but over its own", { timeout: slow }, async () => {
    writeFileSync(at("mine.png"), "a letter");
    expect(await failure(1, "generate", sd, ...two, "--out", at("mine.png"))).toContain(
      "is a file that fewstep did not write",
    );
    expect(await failure(2, "generate", sd, ...two, "--out", at("mine.json"))).toContain(
      "expected a name that ends with .png",
    );
    writePicture(at("own.png"), 8, 8);
    expect((await fewstep("generate", sd, ...two, "--out", at("own.png"))).code).toBe(0);
    // The picture of a seed counts too.
    writeFileSync(at("grid-1.png"), "a letter");
    expect(await failure(1, "generate", sd, ...two, "--n", "2", "--out", at("grid.png"))).toContain(
      "grid-1.png is a file",
    );
    expect((await fewstep("generate", sd, ...two, "--n", "2", "--out", at("grid.png"), "--force")).code).toBe(0);
  });

  it("events for programs, and nothing after Ctrl-C", { timeout: slow }, async () => {
    const { out } = await fewstep("--json", "generate", sd, ...two, "--out", at("events.png"));
    const events = out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(events.map(({ kind }) => kind)).toEqual(["step", "step", "decode", "generated"]);
    expect(events[3]).toMatchObject({ files: [at("events.png")], seeds: [0], unsafe: [], sampler: "ddim" });
    const stopped = await interruptedFewstep("generate", sd, ...two, "--out", at("stopped.png"));
    expect(stopped.code).toBe(130);
    expect(stopped.err).toContain("Interrupted. Nothing was written.");
    expect(existsSync(at("stopped.png"))).toBe(false);
  });
});

describe("options", () => {
  it("image to image, sizes, sampler, prompt and emphasis change the picture", { timeout: slow }, async () => {
    const base = await generated(sd, ...two);
    for (const more of [
      ["--image", at("eight.png"), "--strength", "0.9"],
      ["--guidance", "2"],
      ["--sampler", "euler"],
      ["--clip-skip", "1"],
      ["--negative", "dull"],
      ["--sampler", "dpm++2m", "--steps", "4"],
    ]) {
      const other = await generated(sd, ...two, ...more);
      expect(apart(other.image.data, base.image.data), more.join(" ")).toBeGreaterThan(0.05);
    }
    const wide = await generated(sd, ...two, "--width", "12", "--height", "8");
    expect([wide.image.width, wide.image.height]).toEqual([12, 8]);
    // Little strength stays near the autoencoder's copy of the picture.
    const tiled = await generated(sd, ...two, "--width", "16", "--height", "16", "--tiling");
    expect(tiled.image.width).toBe(16);
    const long = `a ${"b ".repeat(100)}`;
    const cut = await generated(sd, "--prompt", long, "--steps", "1");
    expect(cut.ended.err).toContain(
      "26 tokens at the end of --prompt were cut off: it has more than 75. To read them too: --chunks 2.",
    );
    const whole = await generated(sd, "--prompt", long, "--steps", "1", "--chunks", "2");
    expect(whole.ended.err).not.toContain("cut off");
    const loud = await generated(sd, "--prompt", "a (cat:1.5)", "--steps", "2", "--emphasis");
    expect(apart(loud.image.data, base.image.data)).toBeGreaterThan(0.05);
  });

  it("every sampler's name runs or says why it does not fit", { timeout: 300_000 }, async () => {
    const names = samplerNames();
    expect(names).toEqual(
      expect.arrayContaining(["perflow", "lcm", "ddim", "euler", "euler-ancestral", "dpm++2m", "unipc3"]),
    );
    const refused: string[] = [];
    for (const name of names) {
      const more = name === "perflow" ? ["--prediction", "ddim_eps"] : [];
      const { code, err } = await fewstep(
        "generate",
        sd,
        "--prompt",
        "a",
        "--steps",
        "6",
        "--guidance",
        "1",
        "--sampler",
        name,
        ...more,
        "--out",
        at("sampler.png"),
      );
      if (code === 0) continue;
      refused.push(name);
      expect(err, name).toMatch(/^Error: [^\n]+\.$/m);
    }
    // Those of other noise schedules.
    expect(refused.sort()).toEqual(["edm-dpm-solver-multistep", "edm-euler", "flow-match-euler", "flow-match-heun"]);
  });

  it("ControlNet, T2I-Adapter, IP-Adapter, and refining at twice the size", { timeout: slow }, async () => {
    const base = await generated(sd, ...two);
    const control = ["--controlnet", at("controlnet"), "--control", at("eight.png")];
    const controlled = await generated(sd, ...two, ...control);
    expect(apart(controlled.image.data, base.image.data)).toBeGreaterThan(0.05);
    expect(controlled.recipe).toMatchObject({ controlnet: [at("controlnet")], control: [at("eight.png")] });
    const off = await generated(sd, ...two, ...control, "--control-scale", "0");
    expect(apart(off.image.data, base.image.data)).toBeLessThan(0.2);
    const t2i = await generated(sd, ...two, "--t2i-adapter", at("t2i"), "--t2i-image", at("eight.png"));
    expect(apart(t2i.image.data, base.image.data)).toBeGreaterThan(0.05);
    const ip = ["--ip-adapter", at("ip/ip-adapter.safetensors"), "--ip-image", at("wide.png")];
    const pictured = await generated(sd, ...two, ...ip);
    expect(apart(pictured.image.data, base.image.data)).toBeGreaterThan(0.05);
    const unpictured = await generated(sd, ...two, ...ip, "--ip-scale", "0");
    expect(apart(unpictured.image.data, base.image.data)).toBeLessThan(0.2);
    const refined = await generated(
      sd,
      ...two,
      "--image",
      at("eight.png"),
      "--upscale",
      "2",
      "--controlnet",
      at("controlnet"),
    );
    expect([refined.image.width, refined.image.height]).toEqual([16, 16]);
    expect(refined.recipe).toMatchObject({ strength: 1, upscale: 2 });
  });

  it("SDXL: second prompt and told sizes", { timeout: slow }, async () => {
    const xl = writeTinyFolder(at("xl"), { xl: true });
    const base = await generated(xl, ...two);
    for (const more of [
      ["--prompt2", "a dog"],
      ["--original-size", "64x32"],
      ["--crop-left", "4"],
      ["--negative", "a"],
    ])
      expect(apart((await generated(xl, ...two, ...more)).image.data, base.image.data), more[0]).toBeGreaterThan(0.02);
    expect(await failure(2, "generate", sd, ...two, "--prompt2", "a dog")).toContain("--prompt2 is of SDXL");
  });

  it("LoRA and delta at load are those that were written into the folder", { timeout: slow }, async () => {
    const names = ["unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"];
    const init = "default" as const;
    const spec = names.flatMap((name) => [
      { name: `${name}.lora_A.weight`, shape: [2, 8], init },
      { name: `${name}.lora_B.weight`, shape: [8, 2], init },
    ]);
    const lora = new Map([...randomWeights(spec, 11)].map(([k, v]) => [k, { ...v, data: v.data.map((x) => 3 * x) }]));
    writeWeights(at("style.safetensors"), lora);
    const base = await generated(sd, ...two);
    const styled = await generated(sd, ...two, "--lora", `${at("style.safetensors")}:0.7`);
    expect(apart(styled.image.data, base.image.data)).toBeGreaterThan(0.02);
    const go = (...args: string[]) => fewstep(...args).then((ended: Ended) => expect(ended.code, ended.err).toBe(0));
    await go("delta", "apply", sd, "--lora", at("style.safetensors"), "--lora-scale", "0.7", "--out", at("styled"));
    expect(apart((await generated(at("styled"), ...two)).image.data, styled.image.data)).toBeLessThan(0.2);
    await go("delta", "extract", sd, at("styled"), "--out", at("style-delta.safetensors"));
    const added = await generated(sd, ...two, "--delta", at("style-delta.safetensors"));
    expect(apart(added.image.data, styled.image.data)).toBeLessThan(0.2);
    expect(added.recipe).toMatchObject({ delta: at("style-delta.safetensors"), merge: "fp32" });
    const half = await generated(sd, ...two, "--delta", `${at("style-delta.safetensors")}:0`);
    expect(apart(half.image.data, base.image.data)).toBeLessThan(0.2);
  });

  it("a textual inversion under its own word, or another", { timeout: slow }, async () => {
    const vectors = randomWeights([{ name: "<thing>", shape: [2, 8], init: { normal: 1 } }], 12);
    writeWeights(at("thing.safetensors"), vectors);
    const plain = await generated(sd, "--prompt", "a <thing>", "--steps", "2");
    const own = await generated(sd, "--prompt", "a <thing>", "--steps", "2", "--embedding", at("thing.safetensors"));
    expect(apart(own.image.data, plain.image.data)).toBeGreaterThan(0.05);
    const renamed = await generated(
      sd,
      "--prompt",
      "a <it>",
      "--steps",
      "2",
      "--embedding",
      `<it>=${at("thing.safetensors")}`,
    );
    expect(apart(renamed.image.data, own.image.data)).toBeLessThan(0.2);
  });

  it("the safety checker is on where there is one, says what it did, and can be left out", {
    timeout: slow,
  }, async () => {
    const strict = writeTinyFolder(at("strict"), { safety: writeTinySafety(at("strict-parts"), true) });
    const black = await generated(strict, ...two);
    expect(black.image.data.every((value) => value === 0)).toBe(true);
    expect(black.recipe.unsafe).toBe(true);
    expect(black.ended.err).toMatch(
      /made-\d+\.png is black: the model's safety checker found what it was made to find\. It errs; --no-safety leaves it out\.\n/,
    );
    const plain = await generated(sd, ...two);
    expect((await generated(strict, ...two, "--no-safety")).image.data).toEqual(plain.image.data);
    const lax = writeTinyFolder(at("lax"), { safety: writeTinySafety(at("lax-parts"), false) });
    const shown = await generated(lax, ...two);
    expect(shown.image.data).toEqual(plain.image.data);
    expect(shown.ended.err).not.toContain("black");
    mkdirSync(at("broken/safety_checker"), { recursive: true });
    writeTinyFolder(at("broken"), {});
    writeFileSync(
      at("broken/model_index.json"),
      JSON.stringify({ safety_checker: ["stable_diffusion", "StableDiffusionSafetyChecker"] }),
    );
    expect(await failure(1, "generate", at("broken"), ...two, "--out", at("x.png"))).toMatch(
      /has no safety_checker\/config\.json.*Or generate without its safety checker: --no-safety\.$/,
    );
  });
});

it("doctor says what a model needs, and names the limit", { timeout: 300_000 }, async () => {
  const { code, out, err } = await fewstep("doctor", sd, "--steps", "4");
  expect(code, err).toBe(0);
  expect(out).toMatch(
    /^ok {2}model +all tensors are there and fit: unet [\d.]+ M, vae [\d.]+ M, text_encoder [\d.]+ M parameters$/m,
  );
  expect(out).toMatch(
    /^ok {2}memory +up to [\d.]+ GB for a picture of 8 x 8, one after the other: text encoder [\d.]+ GB, U-Net [\d.]+ GB, VAE [\d.]+ GB$/m,
  );
  expect(out).toMatch(/^ok {2}cache +not needed: all weights are float32$/m);
  expect(out).toMatch(/^ {4}time +about \d+ s for a picture of 8 x 8 with ddim, 4 steps, guidance 7\.5: /m);
  // A picture that no machine here can hold.
  const large = await fewstep("doctor", sd, "--width", "4096", "--height", "4096");
  expect(large.code).toBe(1);
  expect(large.out).toMatch(
    /^NO {2}memory +up to .*the U-Net does not fit, .*: a smaller size or --batch needs less$/m,
  );
  expect(large.err).toContain("would fail here: memory (see above).");
  expect(await failure(1, "generate", sd, ...two, "--width", "4096", "--height", "4096", "--out", at("x.png"))).toMatch(
    /^The U-Net at 4096 x 4096 needs about \d+ GB of memory, but there are [\d.]+ GB; it takes less with a smaller --width and --height\. To try it all the same: --ignore-memory\.$/,
  );
});

it("an empty negative prompt is one, as an empty prompt is", { timeout: slow }, async () => {
  const guided = [...two, "--guidance", "3"];
  const without = await generated(sd, ...guided);
  const empty = await generated(sd, ...guided, "--negative", "");
  expect(empty.image.data).toEqual(without.image.data);
  expect([empty.recipe.negative, without.recipe.negative]).toEqual(["", undefined]);
  // SDXL has zeros where there is no negative prompt, and the empty text's states where it is empty.
  const xl = writeTinyFolder(at("xl-empty"), { xl: true });
  const [zeros, said] = [await generated(xl, ...guided), await generated(xl, ...guided, "--negative", "")];
  expect(apart(zeros.image.data, said.image.data)).toBeGreaterThan(0);
  await generated(sd, "--prompt", "", "--steps", "2");
});
