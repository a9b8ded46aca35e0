// What samples are compared by: the built-in classifier for digits, coordinates for points, or a network of one's own.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import type { Dataset } from "../data/dataset.ts";
import {
  addMoments,
  type Features,
  foreignFeatures,
  frechet,
  gaussianMmd,
  gaussianOf,
  kid,
  type Metric,
  mnistClassifier,
  noMoments,
  precision,
  type Rows,
  recall,
  rows,
  slicedWasserstein,
} from "../metrics/index.ts";
import { fold, key, permutation } from "../random.ts";
import type { FeatureMap } from "../run/evaluate.ts";
import { openForeign } from "../runtime/foreign.ts";
import type { Runtime } from "../runtime/index.ts";
import { onnxruntime } from "../runtime/node.ts";
import { type Context, checkInterrupt } from "./context.ts";
import { queryOptions, splitQuery } from "./exact.ts";
import { readJson } from "./files.ts";

export interface Measuring {
  readonly features: FeatureMap;
  readonly metrics: readonly Metric<Rows>[];
  /** What is not measured, and why. */
  readonly notes: readonly string[];
  /** What numbers must share to be compared. */
  readonly protocol: object;
  dispose(): Promise<void>;
}

/** How images become what a network of one's own takes: after the file's name, as in "inception.onnx?range=0..1&resize=bilinear". */
const conventions = z.object({
  range: z.enum(["-1..1", "0..1", "0..255", "imagenet"]).default("-1..1").describe("Of the pixels that it takes."),
  resize: z
    .enum(["bilinear-antialiased", "bilinear"])
    .default("bilinear-antialiased")
    .describe("Without antialiasing shrinking skips pixels, as older implementations do."),
  rounded: z.boolean().default(true).describe("Whether samples are rounded to 8 bits first, as in an image file."),
  size: z.int().positive().optional().describe("Height and width, where the file leaves them open."),
});

const assets = join(import.meta.dirname, "../../assets/mnist-classifier");

/** Samples of the data that statistics are taken from, at most. */
const REFERENCE = 10_000;
/**
 * Fewer samples are compared by nothing. Points span a space of `dim` features twice over from 2·dim on (where the Fréchet
 * distance begins too); from a block of the kernel distance (200) on its estimate is unbiased and of use in any dimension; and
 * a share such as the precision of 50 samples is known to 0.5/√50 = 0.07 at best.
 */
export const fewestSamples = (dim: number): number => Math.max(50, Math.min(2 * dim, 200));

/** Beyond this many samples, precision and recall take minutes. */
const MANIFOLD = 5000;

/** What samples are compared by, without what the data are like; undefined where there is nothing. */
export async function featureMapOf(
  wanted: string,
  data: Dataset,
  { runtime }: Pick<Context, "runtime">,
): Promise<(FeatureMap & { dispose(): Promise<void> }) | undefined> {
  if (wanted === "none" || data.shape.join() === "2,1,1") return undefined;
  return openFeatures(wanted, data, runtime);
}

/**
 * `wanted`: "auto", "none" or the path of an .onnx file, with `conventions` after a "?". Undefined where there is nothing to compare by.
 * Throws an Error where the network does not fit the data.
 */
export async function measuring(
  wanted: string,
  data: Dataset,
  { runtime, seed, n, report, signal }: Context & { readonly n: number },
): Promise<Measuring | undefined> {
  if (wanted === "none") return undefined;
  const plane = data.shape.join() === "2,1,1";
  const features = await openFeatures(wanted, data, runtime);
  if (!features && !plane) return undefined;
  const map: FeatureMap = features ?? { name: "coordinates", dim: 2, apply: async (x) => x };
  const order = permutation(fold(key(seed), "reference"), data.size).subarray(0, REFERENCE);
  const common = {
    features: map,
    protocol: {
      ...(features?.protocol ?? { network: "coordinates" }),
      reference: { data: data.name, n: order.length, seed },
    },
    dispose: async () => features?.dispose(),
  };
  const [least, used] = [fewestSamples(map.dim), Math.min(n, order.length)];
  if (used < least) {
    const whose =
      used < n ? `The ${used} samples of the data are` : used === 1 ? "One sample is" : `${used} samples are`;
    const what = `too few to be compared by ${map.dim} ${features ? "features" : "coordinates"}`;
    return { ...common, metrics: [], notes: [`${whose} ${what}: at least ${least} are needed (--n ${least}).`] };
  }
  const line = report.progress("features of the data");
  let all: Rows;
  try {
    const onBatch = (done: number) => {
      checkInterrupt({ signal }, "Nothing was written.");
      line.update({ done, total: order.length, unit: "samples" });
    };
    all = rows(await featuresOf(data, order, map, onBatch), map.dim);
  } catch (error) {
    await features?.dispose();
    throw error;
  } finally {
    line.end();
  }
  const part = rows(all.data.subarray(0, Math.min(all.n, n) * map.dim), map.dim);
  const reference = gaussianOf(addMoments(noMoments(map.dim), all));
  const shape = n <= MANIFOLD ? [precision({ reference: part }), recall({ reference: part })] : [];
  const metrics = plane
    ? [
        slicedWasserstein({ reference: all, key: fold(key(seed), "directions") }),
        gaussianMmd({ reference: all }),
        ...shape,
      ]
    : [frechet({ reference }), kid({ reference: all }), ...shape];
  return { ...common, metrics: metrics as readonly Metric<Rows>[], notes: [] };
}

/** The network that samples are compared by; undefined where there is none. Throws an Error where it does not fit the data. */
export async function openFeatures(wanted: string, data: Dataset, runtime: Runtime): Promise<Features | undefined> {
  if (wanted !== "auto") {
    const { name: path, values } = splitQuery(wanted);
    const { range, resize, rounded, size } = queryOptions(wanted, conventions, values);
    const bytes = await readFile(path).catch(() => {
      throw new Error(`${path} cannot be read, expected an .onnx file for --features.`);
    });
    const network = await openForeign(onnxruntime(), bytes).catch((cause: unknown) => {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`${path} cannot be used for --features: ${why} Expected an .onnx file.`, { cause });
    });
    const options = { name: path, images: data.shape, range, rounded, antialias: resize === "bilinear-antialiased" };
    return foreignFeatures(network, { ...options, ...(size ? { size: [size, size] } : {}) }).catch(
      async (error: unknown) => {
        await network.dispose();
        throw error;
      },
    );
  }
  if (data.shape.join() !== "1,28,28") return undefined;
  const [model, card] = [await readFile(join(assets, "model.safetensors")), await readJson(join(assets, "card.json"))];
  return mnistClassifier(runtime, { model, card });
}

async function featuresOf(
  data: Dataset,
  order: Uint32Array,
  { dim, apply }: FeatureMap,
  onBatch: (done: number) => void,
): Promise<Float32Array> {
  const out = new Float32Array(order.length * dim);
  const batch = 500;
  for (let from = 0; from < order.length; from += batch) {
    onBatch(from);
    const indices = order.subarray(from, from + batch);
    out.set(await apply(data.batch(indices).x, indices.length), from * dim);
  }
  onBatch(order.length);
  return out;
}
