// Images to the feature vectors that Fréchet and kernel distances compare, with a record of how.

import type { Foreign } from "../runtime/foreign.ts";
import { resizeBilinear } from "./resize.ts";

/** Numbers measured under different protocols cannot be compared. */
export interface FeatureProtocol {
  readonly network: string;
  /** Of the network's file. */
  readonly sha256: string;
  /** [C, H, W] of the images as they come. */
  readonly images: readonly [number, number, number];
  /** [C, H, W] as the network sees them. */
  readonly input: readonly [number, number, number];
  readonly resize: "none" | "bilinear" | "bilinear-antialiased";
  readonly range: ValueRange;
  /** Whether samples were rounded to 8 bits first, as saving them as PNG would. */
  readonly rounded: boolean;
}

/** How the network wants its pixels; "imagenet" is ((x + 1)/2 − mean)/std with torchvision's constants. */
export type ValueRange = "-1..1" | "0..1" | "0..255" | "imagenet";

export interface Features {
  readonly name: string;
  readonly dim: number;
  /** [C, H, W] of the images it takes. */
  readonly inputShape: readonly [number, number, number];
  readonly protocol: FeatureProtocol;
  /** x [n, C, H, W] in [-1, 1] to [n, dim]. Throws RangeError where x has another size. */
  apply(x: Float32Array, n: number): Promise<Float32Array>;
  dispose(): Promise<void>;
}

/** Runs a function of exactly `batch` images over any number of them; the last batch is filled up with zeros. */
export async function inBatches(
  x: Float32Array,
  n: number,
  size: number,
  batch: number,
  dim: number,
  run: (x: Float32Array) => Promise<Float32Array>,
): Promise<Float32Array> {
  if (x.length !== n * size)
    throw new RangeError(`There are ${x.length} pixels, expected ${n} images of ${size} (channels x height x width).`);
  const out = new Float32Array(n * dim);
  for (let from = 0; from < n; from += batch) {
    const count = Math.min(batch, n - from);
    let part = x.subarray(from * size, (from + count) * size);
    if (count < batch) {
      const full = new Float32Array(batch * size);
      full.set(part);
      part = full;
    }
    const features = await run(part);
    if (features.length !== batch * dim)
      throw new Error(`The network gave ${features.length} features for ${batch} images, expected ${dim} for each.`);
    out.set(features.subarray(0, count * dim), from * dim);
  }
  return out;
}

export interface ForeignFeatureOptions {
  /** What reports call it, "inception-v3-pool3" say. */
  readonly name: string;
  /** [C, H, W] of the images it will be given; one channel is repeated where the network takes three. */
  readonly images: readonly [number, number, number];
  /** The network's height and width, where its file leaves them open. */
  readonly size?: readonly [number, number];
  readonly range: ValueRange;
  /** On by default: shrinking without it skips pixels, which changes Fréchet distances (Parmar et al. 2022). */
  readonly antialias?: boolean;
  /** Round to 8 bits as a PNG would; on by default. Values beyond [-1, 1] become its ends, as in any image file. */
  readonly rounded?: boolean;
  /** Images at a time, where the network's file leaves that open. */
  readonly batch?: number;
}

/** A network of the user's own as features: its one output, flattened per image. The session stays open until dispose. */
export async function foreignFeatures(network: Foreign, options: ForeignFeatureOptions): Promise<Features> {
  const { name, images, range, antialias = true, rounded = true, batch: wanted = 32 } = options;
  const [fixedBatch, channels, ...size] = sizes(network, images[0], options.size);
  const batch = fixedBatch ?? wanted;
  const [height, width] = size;
  const same = images[1] === height && images[2] === width;
  if (images[0] !== channels && images[0] !== 1)
    throw new RangeError(
      `The images have ${images[0]} channels and ${name} takes ${channels}; expected as many, or one.`,
    );
  const run = async (x: Float32Array) => {
    const level = rounded ? toLevels(x) : x;
    const resized = resizeBilinear(level, [images[1], images[2]], [height, width], antialias);
    const input = toRange(
      repeatChannels(resized, images[0], channels, height * width),
      range,
      channels,
      height * width,
    );
    return (await network.run(input, [batch, channels, height, width])).data;
  };
  const pixels = images[0] * images[1] * images[2];
  const dim = (await run(new Float32Array(batch * pixels))).length / batch;
  if (!Number.isInteger(dim)) throw new Error(`The output "${network.output}" of ${name} is not one row per image.`);
  return {
    name,
    dim,
    inputShape: images,
    protocol: {
      network: name,
      sha256: network.sha256,
      images,
      input: [channels, height, width],
      resize: same ? "none" : antialias ? "bilinear-antialiased" : "bilinear",
      range,
      rounded,
    },
    apply: (x, n) => inBatches(x, n, pixels, batch, dim, run),
    dispose: () => network.dispose(),
  };
}

/** Batch (undefined where open), channels, height and width of the network's input. */
function sizes(
  network: Foreign,
  channels: number,
  size: readonly [number, number] | undefined,
): [number | undefined, number, number, number] {
  const shape = network.inputShape.map((d) => (typeof d === "number" && d > 0 ? d : undefined));
  if (shape.length !== 4)
    throw new RangeError(`The input "${network.input}" has the shape [${network.inputShape}], expected [N, C, H, W].`);
  const [n, c, h, w] = shape;
  const [height, width] = [h ?? size?.[0], w ?? size?.[1]];
  if (height === undefined || width === undefined)
    throw new RangeError(`The input "${network.input}" leaves height and width open: give its size.`);
  if (size && (size[0] !== height || size[1] !== width))
    throw new RangeError(
      `The input "${network.input}" is ${height} x ${width}, expected the given ${size.join(" x ")}.`,
    );
  return [n, c ?? channels, height, width];
}

const toLevels = (x: Float32Array): Float32Array =>
  x.map((v) => Math.min(255, Math.max(0, Math.round((v + 1) * 127.5))) / 127.5 - 1);

function repeatChannels(x: Float32Array, from: number, to: number, plane: number): Float32Array {
  if (from === to) return x;
  const out = new Float32Array(x.length * to);
  for (let at = 0; at < out.length; at += plane) {
    const source = Math.floor(at / plane / to) * plane;
    out.set(x.subarray(source, source + plane), at);
  }
  return out;
}

const imagenet = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

function toRange(x: Float32Array, range: ValueRange, channels: number, plane: number): Float32Array {
  if (range === "-1..1") return x;
  if (range === "0..1") return x.map((v) => (v + 1) / 2);
  if (range === "0..255") return x.map((v) => (v + 1) * 127.5);
  if (channels !== 3) throw new RangeError(`ImageNet's mean is for 3 channels, the network takes ${channels}.`);
  return x.map((v, i) => {
    const c = Math.floor(i / plane) % 3;
    return ((v + 1) / 2 - imagenet.mean[c]) / imagenet.std[c];
  });
}
