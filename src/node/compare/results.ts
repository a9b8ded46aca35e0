// The numbers of a comparison over its seeds: mean and deviation.
import type { Numbers } from "./measure.ts";

/** Mean and standard deviation of a sample; the deviation of one number is not known. */
export interface Spread {
  readonly mean: number;
  readonly deviation: number | null;
  readonly values: readonly number[];
}

export function spreadOf(values: readonly (number | null | undefined)[]): Spread | null {
  const known = values.filter((value) => typeof value === "number");
  if (known.length === 0) return null;
  const mean = known.reduce((a, b) => a + b, 0) / known.length;
  const squares = known.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, deviation: known.length < 2 ? null : Math.sqrt(squares / (known.length - 1)), values: known };
}

/** One run, or the teacher, of one seed. */
export interface SeedResult {
  readonly seed: number;
  readonly numbers: Numbers;
  readonly images: number;
  readonly teacherEvaluations: number;
  readonly seconds: number;
  /** On the way, by images seen. */
  readonly curve: readonly { readonly images: number; readonly numbers: Numbers }[];
  /** Where the run is. */
  readonly path: string;
}

export interface EntryResult {
  readonly name: string;
  readonly role: "teacher" | "student";
  readonly method: string;
  readonly guidance: number;
  readonly seeds: readonly SeedResult[];
}

export interface Row {
  readonly name: string;
  readonly role: EntryResult["role"];
  readonly steps: number;
  readonly nfe: number;
  readonly values: Readonly<Record<string, Spread>>;
  readonly straightness: Spread | null;
  readonly firstOrder: Spread | null;
  readonly seconds: Spread | null;
  readonly images: Spread | null;
  readonly teacherEvaluations: Spread | null;
}

/** Method by number of steps. */
export function rowsOf(results: readonly EntryResult[], metrics: readonly string[]): Row[] {
  return results.flatMap(({ name, role, seeds }) => {
    const [first] = seeds;
    const ofRun = (pick: (seed: SeedResult) => number) => (role === "teacher" ? null : spreadOf(seeds.map(pick)));
    return first.numbers.at.map(({ steps, nfe }) => {
      const at = seeds.map(({ numbers }) => numbers.at.find((a) => a.steps === steps));
      const values = metrics.flatMap((metric) => {
        const spread = spreadOf(at.map((a) => a?.values[metric]?.value));
        return spread ? [[metric, spread] as const] : [];
      });
      return {
        name,
        role,
        steps,
        nfe,
        values: Object.fromEntries(values),
        straightness: spreadOf(seeds.map(({ numbers }) => numbers.flow.straightness)),
        firstOrder: spreadOf(seeds.map(({ numbers }) => numbers.flow.firstOrder)),
        seconds: ofRun((seed) => seed.seconds),
        images: ofRun((seed) => seed.images),
        teacherEvaluations: ofRun((seed) => seed.teacherEvaluations),
      };
    });
  });
}

export interface CurvePoint {
  readonly images: number;
  readonly value: Spread;
}

/** A metric over training at a number of steps; empty where nothing was kept on the way. */
export function curveOf({ seeds }: EntryResult, metric: string, steps: number): CurvePoint[] {
  const value = (numbers: Numbers | undefined) => numbers?.at.find((a) => a.steps === steps)?.values[metric]?.value;
  const [first] = seeds;
  const on = first.curve.map(({ images }) => ({
    images,
    value: spreadOf(seeds.map(({ curve }) => value(curve.find((p) => p.images === images)?.numbers))),
  }));
  const last = { images: first.images, value: spreadOf(seeds.map(({ numbers }) => value(numbers))) };
  return [...on, last].flatMap(({ images, value }) => (value ? [{ images, value }] : []));
}
