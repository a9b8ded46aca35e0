import { afterAll, describe, expect, it } from "vitest";
import { type GenerateEvent, type GenerateOptions, pipeline } from "../../src/diffusers/pipeline.ts";
import type { PipelineParts } from "../../src/diffusers/pipelineParts.ts";
import { schedulerNames } from "../../src/diffusers/schedulers/index.ts";
import type { Image } from "../../src/diffusers/tiles.ts";
import { readAutoencoderTinyConfig } from "../../src/nn/autoencoderTiny.ts";
import { unetParams } from "../../src/nn/diffusersParams.ts";
import { fromConstants, type ParamArray } from "../../src/nn/params.ts";
import { key, normal, uniform } from "../../src/random.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { ipWeights, randomWeights, tinyControl, tinyParts, tinyT2I } from "../support/tinyDiffusion.ts";

const runtime = nodeRuntime({ threads: 1 });
afterAll(() => expect(runtime.open()).toBe(0));

async function made(parts: PipelineParts, options: Partial<GenerateOptions> = {}) {
  const running = pipeline(parts, runtime);
  try {
    return await running.generate({ prompt: "a cat", negative: "dull", steps: 2, guidance: 3, ...options });
  } finally {
    await running.dispose();
  }
}
const picture = (seed: number, side = 8, channels = 3): Image => ({
  shape: [1, channels, side, side],
  data: Float32Array.from(uniform(key(seed), channels * side * side)),
});
const apart = (a: Float32Array, b: Float32Array) =>
  a.reduce((worst, value, i) => Math.max(worst, Math.abs(value - b[i])), 0);

describe("text to image", () => {
  it("makes the same picture from the same seed, alone or with others", async () => {
    const parts = tinyParts();
    const one = await made(parts, { seed: 5 });
    expect(one.pictures.shape).toEqual([1, 3, 8, 8]);
    expect(one.evaluations).toBe(2);
    const three = await made(parts, { seed: 5, pictures: 3 });
    expect(three.pictures.shape).toEqual([3, 3, 8, 8]);
    expect(apart(three.pictures.data.slice(0, 192), one.pictures.data)).toBeLessThan(1e-4);
    expect(apart(three.pictures.data.slice(192, 384), one.pictures.data)).toBeGreaterThan(1e-2);
    const other = await made(parts, { seed: 6 });
    expect(apart(other.pictures.data, one.pictures.data)).toBeGreaterThan(1e-2);
  });

  it("listens to prompt, negative prompt and guidance", async () => {
    const parts = tinyParts();
    const one = await made(parts);
    for (const other of [
      { prompt: "a dog" },
      { negative: "sharp" },
      { guidance: 5 },
      { guidance: 1 },
      { prompt: "a (cat:1.4)", emphasis: true },
    ])
      expect(apart((await made(parts, other)).latents.data, one.latents.data), JSON.stringify(other)).toBeGreaterThan(
        1e-4,
      );
    const plain = await made(parts, { guidance: 1, negative: "sharp" });
    expect(apart(plain.latents.data, (await made(parts, { guidance: 1 })).latents.data)).toBe(0);
  });

  it("takes long prompts in chunks, and says what it cut", async () => {
    const parts = tinyParts();
    const prompt = "a ".repeat(100);
    const cut = await made(parts, { prompt });
    expect(cut.dropped).toEqual([25, 0]);
    const whole = await made(parts, { prompt, chunks: 2 });
    expect(whole.dropped).toEqual([0, 0]);
    expect(apart(cut.latents.data, whole.latents.data)).toBeGreaterThan(1e-4);
  });

  it("tells the two encoders and sizes of SDXL, and leaves a missing negative prompt at zeros", async () => {
    const parts = tinyParts({ xl: true });
    const one = await made(parts, { negative: null });
    const empty = await made(parts, { negative: "" });
    expect(apart(one.latents.data, empty.latents.data)).toBeGreaterThan(1e-4);
    const told = await made({ ...parts, zerosForEmptyPrompt: false }, { negative: null });
    expect(apart(told.latents.data, empty.latents.data)).toBe(0);
    const sizes = { original: [64, 64], crop: [8, 0], target: [8, 8] } as const;
    expect(apart((await made(parts, { negative: null, sizes })).latents.data, one.latents.data)).toBeGreaterThan(1e-4);
  });

  it("decodes in slices and tiles", async () => {
    const parts = tinyParts();
    const one = await made(parts, { pictures: 2 });
    const sliced = await made(parts, { pictures: 2, slicing: true });
    expect(apart(sliced.pictures.data, one.pictures.data)).toBeLessThan(1e-4);
    const large = await made(parts, { height: 16, width: 16, tiling: true });
    expect(large.pictures.shape).toEqual([1, 3, 16, 16]);
  });

  it("is told its guidance where it was distilled so, and evaluates once", async () => {
    const parts = tinyParts({ unet: { time_cond_proj_dim: 6 } });
    const a = await made(parts, { guidance: 2, scheduler: { ...parts.scheduler, _class_name: "LCMScheduler" } });
    const b = await made(parts, { guidance: 4, scheduler: { ...parts.scheduler, _class_name: "LCMScheduler" } });
    expect(a.dropped.length).toBe(1);
    expect(apart(a.latents.data, b.latents.data)).toBeGreaterThan(1e-4);
  });

  it("reports every step, and stops between two", async () => {
    const events: GenerateEvent[] = [];
    const parts = tinyParts();
    await made(parts, { steps: 3, onProgress: (event) => events.push(event) });
    expect(events.map(({ stage }) => stage)).toEqual(["text", "step", "step", "step", "decode"]);
    const steps = events.flatMap((event) => (event.stage === "step" ? [event] : []));
    expect(steps.map(({ done, of }) => [done, of])).toEqual([
      [1, 3],
      [2, 3],
      [3, 3],
    ]);
    expect(steps[0].latents.shape).toEqual([1, 4, 4, 4]);
    const stop = new AbortController();
    let done = 0;
    const stopped = made(parts, {
      steps: 5,
      signal: stop.signal,
      onProgress: (event) => {
        if (event.stage === "step" && ++done === 2) stop.abort(new Error("enough"));
      },
    });
    await expect(stopped).rejects.toThrow("enough");
    expect(done).toBe(2);
  });

  it("gives the memory of finished stages back where it is asked to", async () => {
    const running = pipeline(tinyParts(), runtime);
    const open: number[] = [];
    const options = { prompt: "a cat", steps: 1, onProgress: () => open.push(runtime.open()) };
    const kept = await running.generate(options);
    const released = await running.generate({ ...options, release: true });
    expect(apart(kept.pictures.data, released.pictures.data)).toBe(0);
    expect(open).toEqual([1, 2, 2, 2, 2, 1]); // text, U-Net, then with the decoder
    await running.dispose();
  });

  it("runs with every sampler, and says where each step points", async () => {
    const parts = tinyParts();
    const running = pipeline(parts, runtime);
    for (const name of schedulerNames) {
      const estimates: Float32Array[] = [];
      const { latents } = await running.generate({
        prompt: "a cat",
        steps: 4,
        scheduler: name.startsWith("EDM") ? { _class_name: name } : { ...parts.scheduler, _class_name: name },
        onProgress: (event) => {
          if (event.stage === "step") estimates.push(event.estimate.data);
        },
      });
      expect(latents.data.every(Number.isFinite), name).toBe(true);
      expect(estimates.length, name).toBeGreaterThanOrEqual(4);
      expect(
        estimates.every((one) => one.length === 64 && one.every(Number.isFinite)),
        name,
      ).toBe(true);
    }
    await running.dispose();
  });

  it("refuses what does not fit", async () => {
    const parts = tinyParts();
    await expect(made(parts, { height: 9 })).rejects.toThrow("height is 9, expected a multiple of 2");
    await expect(made(parts, { pictures: 0 })).rejects.toThrow("0 pictures were asked for");
    await expect(made(parts, { guidance: Number.NaN })).rejects.toThrow("guidance is NaN");
    await expect(made(parts, { controls: [{ picture: picture(1) }] })).rejects.toThrow(
      "1 control pictures were given for 0 ControlNets",
    );
    await expect(made(parts, { adapter: { picture: picture(1) } })).rejects.toThrow("there is no adapter");
  });
});

describe("previews", () => {
  it("find the colors of an autoencoder that is nearly linear", async () => {
    // TAESD's shape without blocks: convolutions that copy channel c to color c, and a soft clamp that hardly bends here.
    const config = readAutoencoderTinyConfig({
      decoder_block_out_channels: [4, 4],
      num_decoder_blocks: [0, 0],
      encoder_block_out_channels: [4],
      num_encoder_blocks: [0],
    });
    const weights = new Map(
      ["decoder.layers.0", "decoder.layers.3", "decoder.layers.4"].flatMap((name, k): [string, ParamArray][] => {
        const out = k === 2 ? 3 : 4;
        const data = new Float32Array(out * 36);
        for (let c = 0; c < out; c++) data[(c * 4 + c) * 9 + 4] = k === 2 ? 0.05 : 1;
        // The first bias keeps ReLU open.
        const bias = k === 0 ? new Float32Array(4).fill(10) : new Float32Array(out);
        const weight: [string, ParamArray] = [`${name}.weight`, { shape: [out, 4, 3, 3], data }];
        return k === 1 ? [weight] : [weight, [`${name}.bias`, { shape: [out], data: bias }]];
      }),
    );
    const running = pipeline(
      { ...tinyParts(), vae: { kind: "tiny", config, params: fromConstants(weights) } },
      runtime,
    );
    const latents = { shape: [1, 4, 1, 2], data: Float32Array.of(1, -1, 0, 0.5, -2, 2, 3, -3) };
    const { data } = await running.preview(latents);
    await running.dispose();
    // 2 (0.05 (latent + 10)) - 1 is a tenth of the latent.
    for (const [i, want] of [0.1, -0.1, 0, 0.05, -0.2, 0.2].entries())
      expect(Math.abs(data[i] - want)).toBeLessThan(0.04);
  });

  it("are as large as the latents, and of the data that a step points at", async () => {
    const parts = tinyParts();
    const running = pipeline(parts, runtime);
    const estimates: Image[] = [];
    const { latents } = await running.generate({
      prompt: "a cat",
      steps: 4,
      onProgress: (event) => {
        if (event.stage === "step") estimates.push(event.estimate);
      },
    });
    const preview = await running.preview(latents);
    await running.dispose();
    expect(preview.shape).toEqual([1, 3, 4, 4]);
    expect(Math.max(...preview.data.map(Math.abs))).toBeLessThanOrEqual(1);
    // DDIM ends about where its last evaluation pointed.
    expect(estimates.length).toBe(4);
    const last = estimates[3].data;
    expect(apart(last, latents.data)).toBeLessThan(0.2 * Math.max(...latents.data.map(Math.abs)));
  });
});

describe("image to image", () => {
  const image = { picture: picture(3), strength: 0.5 };
  it("keeps more of the picture at less strength", async () => {
    const parts = tinyParts();
    const events: GenerateEvent[] = [];
    const some = await made(parts, {
      steps: 10,
      image: { ...image, strength: 0.2 },
      onProgress: (e) => events.push(e),
    });
    expect(some.evaluations).toBe(2);
    const more = await made(parts, { steps: 10, image: { ...image, strength: 0.9 } });
    expect(more.evaluations).toBe(9);
    expect(apart(some.latents.data, more.latents.data)).toBeGreaterThan(1e-3);
    const two = await made(parts, { steps: 10, image, pictures: 2 });
    expect(two.pictures.shape).toEqual([2, 3, 8, 8]);
  });
  it("refuses strengths that leave nothing to do, and pictures that do not fit", async () => {
    const parts = tinyParts();
    await expect(made(parts, { image: { ...image, strength: 0 } })).rejects.toThrow("The strength is 0");
    await expect(made(parts, { image: { ...image, strength: 0.1 } })).rejects.toThrow("leaves none");
    await expect(made(parts, { image: { ...image, picture: picture(1, 7) } })).rejects.toThrow("height is 7");
  });
});

describe("further conditions", () => {
  it("ControlNets, alone and summed, change the picture in proportion to their scale", async () => {
    const parts = tinyParts();
    const plain = await made(parts);
    const controlled = { ...parts, controlNets: [tinyControl()] };
    const off = await made(controlled, { controls: [{ picture: picture(1), scale: 0 }] });
    expect(apart(off.latents.data, plain.latents.data)).toBeLessThan(1e-4);
    const on = await made(controlled, { controls: [{ picture: picture(1) }] });
    expect(apart(on.latents.data, plain.latents.data)).toBeGreaterThan(1e-3);
    const both = await made(
      { ...parts, controlNets: [tinyControl(), tinyControl()] },
      {
        controls: [
          { picture: picture(1), scale: 0.5 },
          { picture: picture(1), scale: 0.5 },
        ],
      },
    );
    expect(apart(both.latents.data, on.latents.data)).toBeLessThan(
      1e-4 * (1 + Math.max(...on.latents.data.map(Math.abs))),
    );
    const guess = await made(controlled, { controls: [{ picture: picture(1), guess: true }] });
    expect(apart(guess.latents.data, on.latents.data)).toBeGreaterThan(1e-3);
    await expect(made(controlled, { controls: [{ picture: picture(1, 16) }] })).rejects.toThrow(
      "The control picture is 16 x 16",
    );
  });

  it("a T2I-Adapter and an IP-Adapter change the picture", async () => {
    const parts = tinyParts();
    const plain = await made(parts);
    const adapted = await made({ ...parts, adapter: tinyT2I() }, { adapter: { picture: picture(1) }, pictures: 2 });
    expect(apart(adapted.latents.data.slice(0, 64), plain.latents.data)).toBeGreaterThan(1e-3);
    const { config } = parts.unet;
    const weights = new Map([...randomWeights(unetParams(config), 3), ...ipWeights(config, 9)]);
    const withPictures = { ...parts, unet: { config, params: fromConstants(weights) } };
    const tokens = { shape: [1, 2, 8], data: normal(key(4), 16) };
    const without = { shape: [1, 2, 8], data: new Float32Array(16) };
    const off = await made(withPictures, { images: [{ tokens, without, scale: 0 }] });
    expect(apart(off.latents.data, plain.latents.data)).toBeLessThan(1e-4);
    const on = await made(withPictures, { images: [{ tokens, without, scale: 1 }] });
    expect(apart(on.latents.data, plain.latents.data)).toBeGreaterThan(1e-3);
  });

  it("further input channels are joined to the latents", async () => {
    const parts = tinyParts({ unet: { in_channels: 9 } });
    const a = await made(parts, { channels: picture(1, 4, 5) });
    const b = await made(parts, { channels: picture(2, 4, 5) });
    expect(apart(a.latents.data, b.latents.data)).toBeGreaterThan(1e-4);
  });
});
