// An evaluation in parts, on any number of machines: each part samples its share and keeps sums (the moments of features, the
// distances to the teacher's ends), from which a last step reads the same values. Samples stay where they are made.
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { show } from "../core/show.ts";
import type { Dataset } from "../data/dataset.ts";
import type { WritableTensor } from "../data/safetensors.ts";
import {
  addMoments,
  type EndpointState,
  endpoint,
  type Measured,
  type Metric,
  type Moments,
  mergeEndpoints,
  mergeMoments,
  noMoments,
  type Rows,
} from "../metrics/index.ts";
import type { Evaluation } from "../run/evaluate.ts";
import { version } from "../version.ts";
import type { Context } from "./context.ts";
import { endsOfTeacher, type MeasureOptions, measureModel, pathsOf, possibleSteps } from "./evaluation.ts";
import type { ModelResult } from "./evaluationReport.ts";
import { UsageError } from "./failure.ts";
import { featureMapOf, type Measuring } from "./features.ts";
import { readSafetensors, writeSafetensors } from "./files.ts";
import type { LoadedModel } from "./models.ts";
import { type Part, rangeOf } from "./parts.ts";

/** Models and data, open and fitting each other. */
export interface OpenedEvaluation {
  readonly jobs: readonly {
    readonly loaded: LoadedModel;
    readonly role: ModelResult["role"];
    readonly guidance: number;
  }[];
  readonly teacher?: LoadedModel;
  readonly teacherGuidance: number;
  readonly data: Dataset;
  readonly sampleShape: readonly number[];
}

interface PartOptions extends MeasureOptions {
  readonly features: string;
  readonly out: string;
}

/** Of one model at one number of steps. */
interface Sums {
  readonly steps: number;
  readonly nfe: number;
  readonly n: number;
  readonly seconds: number;
  readonly features?: Moments;
  readonly endpoint?: EndpointState;
  /** The first samples of all. */
  readonly shown: Float32Array;
}

/** By the model's place among the jobs. */
type PartSums = readonly (readonly Sums[])[];

export const partsFolder = (out: string): string => `${out.replace(/[/\\]+$/, "")}.parts`;
const partName = ({ index, count }: Part) => `part-${index}-of-${count}.safetensors`;

/** What all parts must share: by name, as text. */
function identityOf(opened: OpenedEvaluation, o: PartOptions, { seed, runtime }: Context): Record<string, string> {
  const { jobs, teacher, teacherGuidance } = opened;
  const all = {
    fewstep: version,
    models: jobs.map(({ loaded, guidance }) => `${loaded.hash} guided ${guidance}`),
    teacher: teacher ? `${teacher.hash} guided ${teacherGuidance} in ${o.teacherSteps} steps` : "none",
    steps: o.steps,
    n: o.n,
    solver: o.solver ?? "each model's own",
    features: o.features,
    device: runtime.device,
    seed,
  };
  return Object.fromEntries(Object.entries(all).map(([name, value]) => [name, String(value)]));
}

/** Makes a part, unless it is there. Throws an Error where the folder holds parts of another evaluation. */
export async function makePart(opened: OpenedEvaluation, o: PartOptions, part: Part, context: Context): Promise<void> {
  const { jobs, teacher, teacherGuidance, data } = opened;
  const { report } = context;
  const range = rangeOf(part, o.n);
  if (range.n === 0)
    throw new UsageError(`Part ${part.index}/${part.count} of ${o.n} samples is empty: take at most ${o.n} parts.`);
  const folder = partsFolder(o.out);
  const identity = identityOf(opened, o, context);
  const file = join(folder, partName(part));
  const there = (await partsIn(folder)).find(({ index, count }) => index === part.index && count === part.count);
  const title = `Part ${part.index}/${part.count}, ${range.n} samples`;
  if (there) {
    await readPart(file, identity);
    report.event({ kind: "done", path: file, part, made: false });
    report.result(`${title}: ${file} is there already.`);
    return;
  }
  const own = { ...o, ...range, whole: o.n, pathSteps: 0, keepStates: true };
  const features = await featureMapOf(o.features, data, context);
  try {
    const measured = features && { ...summing(features), dispose: features.dispose };
    const ends = teacher && (await endsOfTeacher(teacher, teacherGuidance, own, context));
    if (!measured && !ends)
      throw new UsageError(
        `Parts keep moments of features and distances to a teacher's ends, and for ${data.name} there are none: give --features or --teacher.`,
      );
    const all: Sums[][] = [];
    for (const { loaded, role, guidance } of jobs) {
      const { evaluations } = await measureModel(loaded, { role, guidance, measured, ends }, own, [], context);
      all.push(evaluations.map(sumsOf));
    }
    await writePart(file, all, identity);
  } finally {
    await features?.dispose();
  }
  report.event({ kind: "done", path: file, part, made: true });
  report.result(`${title}: ${file}. When all parts are there, the same command with --join makes the report.`);
}

/** Moments in place of a distance: a part is no sample of its own to be compared. */
function summing(features: NonNullable<Measuring["features"]>): Omit<Measuring, "dispose"> {
  const moments: Metric<Rows, Moments> = {
    name: "frechet",
    better: "lower",
    init: () => noMoments(features.dim),
    add: addMoments,
    value() {
      throw new RangeError("A part has no distance of its own.");
    },
  };
  return { features, metrics: [moments as Metric<Rows>], notes: [], protocol: {} };
}

const sumsOf = ({ steps, nfe, n, seconds, states, shown }: Evaluation): Sums => ({
  ...{ steps, nfe, n, seconds, shown },
  features: states.frechet as Moments | undefined,
  endpoint: states.endpoint as EndpointState | undefined,
});

async function writePart(file: string, all: PartSums, identity: Readonly<Record<string, string>>): Promise<void> {
  const tensors: Record<string, WritableTensor> = {};
  const put = (name: string, data: Float64Array | Float32Array, shape: readonly number[] = [data.length]) => {
    tensors[name] = { shape, data };
  };
  const numbers = all.map((evaluations, model) =>
    evaluations.map(({ features, endpoint: ends, shown, ...rest }) => {
      const at = `${model}.${rest.steps}`;
      if (features) {
        const dim = features.mean.length;
        put(`${at}.features.mean`, features.mean);
        put(`${at}.features.scatter`, features.scatter, [dim, dim]);
      }
      if (ends) put(`${at}.endpoint.mean`, ends.mean);
      if (shown.length > 0) put(`${at}.shown`, shown);
      const { mean: _, ...sums } = ends ?? { mean: undefined };
      return { ...rest, ...(ends ? { endpoint: sums } : {}), features: features !== undefined };
    }),
  );
  await writeSafetensors(file, tensors, { software: "fewstep", ...identity, numbers: JSON.stringify(numbers) });
}

/** Throws an Error for a part of another evaluation. */
async function readPart(file: string, identity: Readonly<Record<string, string>>): Promise<PartSums> {
  const { tensors, metadata } = await readSafetensors(file);
  for (const [name, value] of Object.entries(identity))
    if (metadata[name] !== value)
      throw new Error(
        `${file} is a part of another evaluation: its ${name} is ${show(metadata[name])}, not ${show(value)}. Choose another --out, or remove it.`,
      );
  const numbers = JSON.parse(metadata.numbers) as (Omit<Sums, "features" | "endpoint" | "shown"> & {
    readonly features: boolean;
    readonly endpoint?: Omit<EndpointState, "mean">;
  })[][];
  const doubles = (name: string) => tensors.get(name)?.data as Float64Array;
  return numbers.map((evaluations, model) =>
    evaluations.map(({ features, endpoint: ends, ...rest }): Sums => {
      const at = `${model}.${rest.steps}`;
      const shown = tensors.get(`${at}.shown`)?.data as Float32Array | undefined;
      const moments = { n: rest.n, mean: doubles(`${at}.features.mean`), scatter: doubles(`${at}.features.scatter`) };
      return {
        ...rest,
        shown: shown ?? new Float32Array(),
        ...(features ? { features: moments } : {}),
        ...(ends ? { endpoint: { ...ends, mean: doubles(`${at}.endpoint.mean`) } } : {}),
      };
    }),
  );
}

async function partsIn(folder: string): Promise<Part[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  return names.flatMap((name) => {
    const found = name.match(/^part-(\d+)-of-(\d+)\.safetensors$/);
    return found ? [{ index: Number(found[1]), count: Number(found[2]) }] : [];
  });
}

/** The results of all parts together. Throws an Error naming the parts that are missing. */
export async function joinParts(
  opened: OpenedEvaluation,
  o: PartOptions,
  measured: Measuring | undefined,
  notes: string[],
  context: Context,
): Promise<readonly ModelResult[]> {
  const { jobs, sampleShape } = opened;
  const folder = partsFolder(o.out);
  const found = await partsIn(folder);
  const counts = [...new Set(found.map(({ count }) => count))];
  if (counts.length === 0) throw new Error(`${folder} has no parts. Make them first: --part 0/8, 1/8 and so on.`);
  if (counts.length > 1)
    throw new Error(`${folder} has parts of ${counts.join(" and of ")}: remove those of all but one.`);
  const [count] = counts;
  const have = new Set(found.map(({ index }) => index));
  const missing = Array.from({ length: count }, (_, index) => index).filter((index) => !have.has(index));
  if (missing.length > 0)
    throw new Error(
      `Of the ${count} parts in ${folder}, ${missing.length} ${missing.length === 1 ? "is" : "are"} missing: ${missing.slice(0, 20).join(", ")}${missing.length > 20 ? ", …" : ""}.`,
    );
  const identity = identityOf(opened, o, context);
  let all: PartSums | undefined;
  for (let index = 0; index < count; index++) {
    const part = await readPart(join(folder, partName({ index, count })), identity);
    all = all ? all.map((model, m) => model.map((sums, s) => merged(sums, part[m][s]))) : part;
  }
  const frechet = measured?.metrics.find(({ name }) => name === "frechet");
  const left = measured?.metrics.map(({ name }) => name).filter((name) => name !== "frechet") ?? [];
  if (left.length > 0) notes.push(`Parts keep sums, not samples, so ${left.join(", ")} are not measured.`);
  const size = sampleShape.reduce((a, b) => a * b, 1);
  const results: ModelResult[] = [];
  for (const [i, { loaded, role, guidance }] of jobs.entries()) {
    const evaluations = (all?.[i] ?? []).map((sums) => valuesOf(sums, size, frechet, notes));
    const possible = possibleSteps(loaded, o.steps, notes);
    const paths = o.pathSteps === 0 ? [] : await pathsOf(loaded, guidance, possible, notes, o, context);
    results.push({ name: loaded.name, path: loaded.path, role, guidance, evaluations, paths });
  }
  return results;
}

function merged(a: Sums, b: Sums): Sums {
  const n = a.n + b.n;
  const shown = new Float32Array(a.shown.length + b.shown.length);
  shown.set(a.shown);
  shown.set(b.shown, a.shown.length);
  return {
    ...a,
    n,
    seconds: (a.n * a.seconds + b.n * b.seconds) / n,
    shown,
    ...(a.features && b.features ? { features: mergeMoments(a.features, b.features) } : {}),
    ...(a.endpoint && b.endpoint ? { endpoint: mergeEndpoints(a.endpoint, b.endpoint) } : {}),
  };
}

/** What cannot be read from so many samples becomes a note. */
function valuesOf(sums: Sums, size: number, frechet: Metric<Rows> | undefined, notes: string[]): Evaluation {
  const { features, endpoint: ends, steps, nfe, n, seconds, shown } = sums;
  const values: Record<string, Measured> = {};
  const own: string[] = [];
  const read = (name: string, value: () => Measured) => {
    try {
      values[name] = value();
      own.push(...values[name].notes);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      own.push(error.message);
    }
  };
  if (ends) read("endpoint", () => endpoint(size).value(ends));
  if (features && frechet) read("frechet", () => frechet.value(features));
  for (const note of own) if (!notes.includes(note)) notes.push(note);
  return { kind: "evaluation", steps, nfe, n, seconds, values, notes: own, states: {}, shown };
}
