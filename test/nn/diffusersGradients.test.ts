// The networks of diffusers' folders can be trained: gradients through all of them against finite differences.
import { afterAll, expect, it } from "vitest";
import { constant, grad, input, mse, mul, sum, type Tensor } from "../../src/graph/index.ts";
import { decodeLatents, encodeMoments, posterior } from "../../src/nn/autoencoderKl.ts";
import { readAutoencoderKlConfig } from "../../src/nn/autoencoderKlConfig.ts";
import { decodeTiny, encodeTiny, readAutoencoderTinyConfig } from "../../src/nn/autoencoderTiny.ts";
import { readClipVisionConfig } from "../../src/nn/clipConfig.ts";
import { clipText } from "../../src/nn/clipText.ts";
import { clipImageEmbedding, safetyChecker } from "../../src/nn/clipVision.ts";
import { controlNet } from "../../src/nn/controlNet.ts";
import { imageTokens } from "../../src/nn/ipAdapter.ts";
import { collectParams, countParams, flatten, fromFlat, type Params, within } from "../../src/nn/params.ts";
import { rematerialized } from "../../src/nn/remat.ts";
import { t2iAdapter } from "../../src/nn/t2iAdapter.ts";
import { unet2dCondition } from "../../src/nn/unet2dCondition.ts";
import { key, normal } from "../../src/random.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { randomWeights, tinyAdapter, tinyControlNet, tinyText, tinyUNet } from "../support/tinyDiffusion.ts";

const runtime = nodeRuntime({ threads: 1 });
afterAll(() => expect(runtime.open()).toBe(0));

const normals = (seed: number, shape: readonly number[]): Tensor => {
  const size = shape.reduce((a, b) => a * b, 1);
  return constant(normal(key(seed), size), [...shape]);
};

const vision = readClipVisionConfig({
  hidden_size: 8,
  intermediate_size: 16,
  num_attention_heads: 2,
  num_hidden_layers: 1,
  image_size: 8,
  patch_size: 4,
  projection_dim: 6,
  hidden_act: "gelu",
});
const kl = readAutoencoderKlConfig({
  block_out_channels: [4, 8],
  down_block_types: ["DownEncoderBlock2D", "DownEncoderBlock2D"],
  up_block_types: ["UpDecoderBlock2D", "UpDecoderBlock2D"],
  norm_num_groups: 2,
});
const tiny = readAutoencoderTinyConfig({
  encoder_block_out_channels: [4, 4],
  decoder_block_out_channels: [4, 4],
  num_encoder_blocks: [1, 1],
  num_decoder_blocks: [1, 1],
  act_fn: "silu",
});

const base = { tokens: 2, width: 8, layers: 1, heads: 1, inner: 6 };

const networks: Readonly<Record<string, (p: Params) => Tensor>> = {
  "U-Net with text encoder, ControlNet, T2I-Adapter, IP-Adapter, cameras and guidance": (p) => {
    const config = tinyUNet({
      in_channels: 6,
      class_embed_type: "projection",
      projection_class_embeddings_input_dim: 5,
      time_cond_proj_dim: 4,
    });
    const tau = constant(Float32Array.of(20, 700), [2]);
    const ids = constant(BigInt64Array.from([52, 3, 7, 53, 52, 30, 53, 53], BigInt), [2, 4]);
    const at = constant(BigInt64Array.of(3n, 6n), [2]);
    const context = clipText(tinyText, within(p, "text."), ids, at).last;
    const picture = normals(3, [2, 3, 8, 8]);
    const latents = normals(4, [2, 4, 4, 4]);
    return unet2dCondition(config, within(p, "unet."), normals(5, [2, 6, 4, 4]), tau, {
      context,
      labels: normals(6, [2, 5]),
      guidance: normals(7, [2, 4]),
      control: controlNet(tinyControlNet, within(p, "control."), latents, tau, { context }, picture, 0.7),
      features: t2iAdapter(tinyAdapter, within(p, "adapter."), picture),
      images: [
        { tokens: imageTokens(p, "base", normals(8, [2, 6]), { ...base, variant: "base" }), scale: 0.5 },
        { tokens: imageTokens(p, "plus", normals(9, [2, 3, 6]), { ...base, variant: "plus" }), scale: 0.7 },
        { tokens: imageTokens(p, "full", normals(10, [2, 3, 6]), { ...base, variant: "full" }), scale: 0.3 },
      ],
    });
  },
  AutoencoderKL: (p) => {
    const { mean, logvar } = posterior(encodeMoments(kl, p, normals(1, [1, 3, 6, 4])));
    return decodeLatents(kl, p, mul(mean, logvar));
  },
  AutoencoderTiny: (p) => decodeTiny(tiny, p, encodeTiny(tiny, p, normals(1, [1, 3, 4, 4]))),
  "CLIP's vision model": (p) => clipImageEmbedding(vision, p, normals(1, [2, 3, 8, 8])).embeds,
  "the safety checker": (p) => safetyChecker(vision, p, normals(1, [2, 3, 8, 8])).concepts,
};

it.each(Object.entries(networks))("%s", { timeout: 120_000 }, async (_name, network) => {
  const spec = collectParams(network);
  const theta = input("theta", [countParams(spec)]);
  const lossOf = (p: Params) => {
    const output = network(p);
    return mse(output, normals(20, output.shape));
  };
  const loss = lossOf(fromFlat(spec, theta));
  const again = lossOf(rematerialized(fromFlat(spec, theta)));
  const direction = input("direction", theta.shape);
  const [gradient] = grad(loss, [theta]);
  const [rematted] = grad(again, [theta]);
  const program = await runtime.compile({
    loss,
    slope: sum(mul(gradient, direction)),
    slopeAgain: sum(mul(rematted, direction)),
    gradient,
  });
  const at = flatten(spec, randomWeights(spec, 3));
  const along = normal(key(9), at.length);
  const run = (h: number) => program.run({ theta: at.map((v, i) => v + h * along[i]), direction: along });
  const here = await run(0);
  // Richardson extrapolation of central differences; steps are small because a ReLU bends where they cross its kink.
  const value = async (h: number) => Number((await run(h)).loss.data[0]);
  const central = async (h: number) => ((await value(h)) - (await value(-h))) / (2 * h);
  const difference = (4 * (await central(0.00025)) - (await central(0.0005))) / 3;
  const slope = Number(here.slope.data[0]);
  await program.dispose();
  expect(Math.abs(difference - slope) / Math.max(1, Math.abs(slope))).toBeLessThan(2e-3);
  expect(Math.abs(Number(here.slopeAgain.data[0]) - slope) / Math.max(1, Math.abs(slope))).toBeLessThan(1e-5);
  // Every parameter is reached, but for those that attention's softmax cannot see.
  const parts = here.gradient.data as Float32Array;
  let offset = 0;
  const untouched: string[] = [];
  for (const { name, shape } of spec) {
    const size = shape.reduce((a, b) => a * b, 1);
    if (parts.subarray(offset, offset + size).every((v) => v === 0)) untouched.push(name);
    offset += size;
  }
  const unused = /visual_projection|special_care|concept_embeds_weights/;
  expect(untouched.filter((name) => !unused.test(name))).toEqual([]);
});
