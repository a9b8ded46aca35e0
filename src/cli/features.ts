// What samples are compared by: the built-in classifier for digits, coordinates for points, or a network of one's own.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
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
import { readJson } from "./files.ts";

export interface Measuring {
  readonly features: FeatureMap;
  readonly metrics: readonly Metric<Rows>[];
  /** What numbers must share to be compared. */
  readonly protocol: object;
  dispose(): Promise<void>;
}

const assets = join(import.meta.dirname, "../../assets/mnist-classifier");

/** Samples of the data that statistics are taken from, at most. */
const REFERENCE = 10_000;
/** Beyond this many samples, precision and recall take minutes. */
const MANIFOLD = 5000;

/**
 * `wanted`: "auto", "none" or the path of an .onnx file with images in [-1, 1] as input. Undefined where there is nothing to compare by.
 * Throws an Error where the network does not fit the data.
 */
export async function measuring(
  wanted: string,
  data: Dataset,
  { runtime, seed, n }: { readonly runtime: Runtime; readonly seed: number; readonly n: number },
): Promise<Measuring | undefined> {
  if (wanted === "none") return undefined;
  const plane = data.shape.join() === "2,1,1";
  const features = await openFeatures(wanted, data, runtime);
  if (!features && !plane) return undefined;
  const map: FeatureMap = features ?? { name: "coordinates", dim: 2, apply: async (x) => x };
  const order = permutation(fold(key(seed), "reference"), data.size).subarray(0, REFERENCE);
  const all = rows(await featuresOf(data, order, map), map.dim);
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
  return {
    features: map,
    metrics: metrics as readonly Metric<Rows>[],
    protocol: { ...(features?.protocol ?? { network: "coordinates" }), reference: { data: data.name, n: all.n, seed } },
    dispose: async () => features?.dispose(),
  };
}

async function openFeatures(wanted: string, data: Dataset, runtime: Runtime): Promise<Features | undefined> {
  if (wanted !== "auto") {
    const bytes = await readFile(wanted).catch(() => {
      throw new Error(`${wanted} cannot be read, expected an .onnx file for --features.`);
    });
    const network = await openForeign(onnxruntime(), bytes).catch((cause: unknown) => {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`${wanted} cannot be used for --features: ${why} Expected an .onnx file.`, { cause });
    });
    return foreignFeatures(network, { name: wanted, images: data.shape, range: "-1..1" });
  }
  if (data.shape.join() !== "1,28,28") return undefined;
  const [model, card] = [await readFile(join(assets, "model.safetensors")), await readJson(join(assets, "card.json"))];
  return mnistClassifier(runtime, { model, card });
}

async function featuresOf(data: Dataset, order: Uint32Array, { dim, apply }: FeatureMap): Promise<Float32Array> {
  const out = new Float32Array(order.length * dim);
  const batch = 500;
  for (let from = 0; from < order.length; from += batch) {
    const indices = order.subarray(from, from + batch);
    out.set(await apply(data.batch(indices).x, indices.length), from * dim);
  }
  return out;
}
