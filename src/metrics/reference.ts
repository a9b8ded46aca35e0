// Reference statistics as a file, so that a Fréchet distance needs no data set.

import { show } from "../core/show.ts";
import { readSafetensors, type StoredTensor, writeSafetensors } from "../data/safetensors.ts";
import type { Gaussian } from "./moments.ts";

/** float64 mean [dim] and covariance [dim, dim]; n and `about` (what was measured, and how) are the metadata. */
export function writeReference({ n, mean, covariance }: Gaussian, about: Readonly<Record<string, string>>): Uint8Array {
  const dim = mean.length;
  return writeSafetensors(
    { mean: { shape: [dim], data: mean }, covariance: { shape: [dim, dim], data: covariance } },
    { ...about, n: String(n) },
  );
}

/** Throws an Error that names the file where it holds something else. */
export function readReference(bytes: Uint8Array, name = "reference statistics"): Gaussian {
  const { tensors, metadata } = readSafetensors(bytes, name);
  const mean = doubles(tensors, "mean", name);
  const covariance = doubles(tensors, "covariance", name);
  const n = Number(metadata.n);
  if (!Number.isInteger(n) || n < 2)
    throw new Error(`${name} says n = ${show(metadata.n)}, expected a number of samples.`);
  if (covariance.length !== mean.length ** 2)
    throw new Error(`${name} has ${covariance.length} covariances for ${mean.length} means, expected their square.`);
  const broken = [mean, covariance].flatMap((values) => values.find((value) => !Number.isFinite(value)) ?? []);
  if (broken.length > 0) throw new Error(`${name} holds ${broken[0]}, so it is damaged. Make it again.`);
  return { n, mean, covariance };
}

function doubles(tensors: ReadonlyMap<string, StoredTensor>, key: string, name: string): Float64Array {
  const data = tensors.get(key)?.data;
  if (data instanceof Float64Array) return data;
  throw new Error(`${name} has no float64 tensor "${key}".`);
}
