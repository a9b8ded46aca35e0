// What a comparison's results say of one student, seed by seed, as the claims ask for it.

import { curveOf } from "../../src/node/compare/results.ts";
import type { Compared } from "../../src/node/compare.ts";
import { below, type Part } from "./verdict.ts";

export const SW = "sliced-wasserstein";
/** Seed by seed. Throws where a number is missing: a verdict on part of the seeds would be another claim. */
export function at({ results }: Compared, name: string, steps: number, metric = SW): number[] {
  const entry = results.find((one) => one.name === name);
  const values = entry?.seeds.map(({ numbers }) => numbers.at.find((a) => a.steps === steps)?.values[metric]?.value);
  if (!values || values.length < 3 || values.some((v) => v === undefined))
    throw new Error(`${name} has no ${metric} at ${steps} steps for every seed.`);
  return values as number[];
}
/** Over training, of one seed: images seen and value. */
export function curve({ results }: Compared, name: string, seed: number, steps: number) {
  const entry = results.find((one) => one.name === name);
  if (!entry) throw new Error(`There is no ${name}.`);
  return curveOf({ ...entry, seeds: [entry.seeds[seed]] }, SW, steps).map(({ images, value }) => ({
    images,
    value: value.mean,
  }));
}
/** At a share of the budget, the nearest point that was kept. */
export function early(compared: Compared, name: string, share: number, steps: number): number[] {
  return compared.plan.seeds.map((_, seed) => {
    const points = curve(compared, name, seed, steps);
    const target = share * points[points.length - 1].images;
    return points.reduce((a, b) => (Math.abs(b.images - target) < Math.abs(a.images - target) ? b : a)).value;
  });
}
/** One student is below another at equal steps, seed by seed. */
export const nearer = (says: string, c: Compared, one: string, other: string, steps: number, metric = SW): Part =>
  below(says, at(c, one, steps, metric), at(c, other, steps, metric));

export const ratios = (a: readonly number[], b: readonly number[]) => a.map((value, i) => value / b[i]);

export function oneOf({ results }: Compared, name: string, steps: number): number {
  const value = results.find((r) => r.name === name)?.seeds[0].numbers.at.find((a) => a.steps === steps)?.values[
    SW
  ]?.value;
  if (value === undefined) throw new Error(`${name} has no number at ${steps} steps.`);
  return value;
}

/** Seed by seed: the largest over the smallest of all students. */
export function spread(c: Compared, steps: number, metric = SW): number[] {
  const all = c.results.filter(({ role }) => role === "student").map(({ name }) => at(c, name, steps, metric));
  return c.plan.seeds.map((_, i) => Math.max(...all.map((x) => x[i])) / Math.min(...all.map((x) => x[i])));
}

/** Seed by seed: the share of RD's training after which it stays below another's final score at one step; 2: never. */
export function passing(c: Compared, other: string): number[] {
  const final = at(c, other, 1);
  return c.plan.seeds.map((_, seed) => {
    const points = curve(c, "RD", seed, 1);
    const last = points[points.length - 1].images;
    const first = points.findIndex((_, k) => points.slice(k).every(({ value }) => value <= final[seed]));
    return first < 0 ? 2 : points[first].images / last;
  });
}
