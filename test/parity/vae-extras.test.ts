// Golden values of autoencoders in tiles and slices, and of AutoencoderTiny (tiny-vae-extras).
import { join, resolve } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { floatsOf } from "../../src/data/safetensors.ts";
import { type Image, sliced, type TileWork, tiled } from "../../src/diffusers/tiles.ts";
import { input, type Tensor } from "../../src/graph/index.ts";
import { decodeLatents, encodeMoments } from "../../src/nn/autoencoderKl.ts";
import { decodeTiny, encodeTiny, readAutoencoderTinyConfig, scaleTiny } from "../../src/nn/autoencoderTiny.ts";
import { fromConstants } from "../../src/nn/params.ts";
import type { Program } from "../../src/runtime/index.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { compare, type GoldenParts, given, tally, toleranceOf, weightsIn } from "./cases.ts";
import { baseOf, type GoldenFile, goldenOf, goldenTensors, largestDifference, readJson } from "./folders.ts";
import { vaeIn } from "./vaeCases.ts";

interface Tiling {
  readonly id: string;
  readonly tile_sample_min_size: number;
  readonly tile_latent_min_size: number;
  readonly tile_overlap_factor: number;
  readonly encode: { readonly image: string; readonly moments: string; readonly untiled?: string };
  readonly decode: { readonly latents: string; readonly output: string; readonly untiled?: string };
}
interface ExtrasGolden extends GoldenParts {
  readonly kl?: { readonly vae?: string; readonly tiling: readonly Tiling[] };
  readonly slicing?: Readonly<Record<"image" | "moments" | "latents" | "output", string>>;
  readonly taesd?: {
    readonly folder: string;
    readonly encode: { readonly image: string; readonly latents: string; readonly scaled: string };
    readonly decode: { readonly latents: string; readonly output: string };
  };
}

const kind = "vae-extras";
const files = goldenOf<ExtrasGolden>(kind);
const runtime = nodeRuntime();
const counted = tally(kind, "autoencoder");
afterAll(() => expect(runtime.open()).toBe(0));

const vaeOf = (one: GoldenFile<ExtrasGolden>) =>
  vaeIn(one.golden.kl?.vae ? resolve(one.folder, one.golden.kl.vae) : join(baseOf(one), "vae"));

/** A program for every size of tile, disposed at the end. */
async function withPrograms(network: (x: Tensor) => Tensor, use: (work: TileWork) => Promise<void>): Promise<void> {
  const programs = new Map<string, Program<"y">>();
  try {
    await use(async ({ shape, data }) => {
      const key = shape.join("x");
      const program = programs.get(key) ?? (await runtime.compile({ y: network(input("x", shape)) }));
      programs.set(key, program);
      const { y } = await program.run({ x: data });
      return { shape: y.shape, data: y.data as Float32Array };
    });
  } finally {
    for (const program of programs.values()) await program.dispose();
  }
}

const imageOf = (one: GoldenFile<ExtrasGolden>, name: string): Image => {
  const tensors = goldenTensors(one);
  return { shape: tensors.get(name)!.shape, data: floatsOf(tensors, name) };
};
const errorOf = (one: GoldenFile<ExtrasGolden>, name: string, have: Image): Map<string, number> => {
  const want = imageOf(one, name);
  expect(have.shape, name).toEqual(want.shape);
  return new Map([[name, largestDifference(have.data, want.data) / one.golden.tensors[name].rms]]);
};

describe(`${kind}: tiles and slices`, () => {
  for (const one of files) {
    for (const t of one.golden.kl?.tiling ?? []) {
      const [input, output, overlap] = [t.tile_sample_min_size, t.tile_latent_min_size, t.tile_overlap_factor];
      it(`${one.name}: encode ${t.id}`, { timeout: 120_000 }, async () => {
        const { config, weights } = vaeOf(one);
        const p = fromConstants(weights);
        const image = imageOf(one, t.encode.image);
        await withPrograms(
          (x) => encodeMoments(config, p, x),
          async (work) => {
            const moments = await tiled(image, { input, output, overlap }, work);
            counted.check(errorOf(one, t.encode.moments, moments), toleranceOf(one, "vae", 1e-4));
            if (t.encode.untiled) {
              const whole = await work(image);
              counted.check(errorOf(one, t.encode.untiled, whole), toleranceOf(one, "vae", 1e-4));
            }
          },
        );
      });
      it(`${one.name}: decode ${t.id}`, { timeout: 120_000 }, async () => {
        const { config, weights } = vaeOf(one);
        const p = fromConstants(weights);
        const latents = imageOf(one, t.decode.latents);
        await withPrograms(
          (x) => decodeLatents(config, p, x),
          async (work) => {
            const image = await tiled(latents, { input: output, output: input, overlap }, work);
            counted.check(errorOf(one, t.decode.output, image), toleranceOf(one, "vae", 1e-4));
            if (t.decode.untiled) {
              const whole = await work(latents);
              counted.check(errorOf(one, t.decode.untiled, whole), toleranceOf(one, "vae", 1e-4));
            }
          },
        );
      });
    }
    const { slicing } = one.golden;
    if (slicing)
      it(`${one.name}: slices`, { timeout: 120_000 }, async () => {
        const { config, weights } = vaeOf(one);
        const p = fromConstants(weights);
        const tolerance = toleranceOf(one, "slicing", 1e-4);
        await withPrograms(
          (x) => encodeMoments(config, p, x),
          async (work) =>
            counted.check(errorOf(one, slicing.moments, await sliced(imageOf(one, slicing.image), work)), tolerance),
        );
        await withPrograms(
          (x) => decodeLatents(config, p, x),
          async (work) =>
            counted.check(errorOf(one, slicing.output, await sliced(imageOf(one, slicing.latents), work)), tolerance),
        );
      });
  }
});

describe(`${kind}: AutoencoderTiny`, () => {
  for (const one of files) {
    const { taesd } = one.golden;
    if (!taesd) continue;
    it(`${one.name}: ${taesd.folder}`, { timeout: 120_000 }, async () => {
      const folder = join(one.folder, taesd.folder);
      const config = readAutoencoderTinyConfig(readJson(folder, "config.json"));
      const p = fromConstants(weightsIn(folder));
      const from = given(goldenTensors(one));
      const latents = encodeTiny(config, p, from.take(taesd.encode.image));
      const outputs = {
        [taesd.encode.latents]: latents,
        [taesd.encode.scaled]: scaleTiny(config, latents),
        [taesd.decode.output]: decodeTiny(config, p, from.take(taesd.decode.latents)),
      };
      counted.check(await compare(one, outputs, from.feeds, runtime), toleranceOf(one, "taesd", 1e-4));
    });
  }
  it("ran every case that exists", () => counted.report(files));
});
