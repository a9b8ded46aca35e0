// What an evaluation leaves behind: report.json, charts, a grid of samples, and tables on stdout.
import { join } from "node:path";
import { gridPng } from "../data/png.ts";
import { metricTitle, shortNames } from "../figures/metricNames.ts";
import { metricVsNfe, type NfeSeries } from "../figures/metricVsNfe.ts";
import { type PathVariationSeries, pathVariation } from "../figures/pathVariation.ts";
import { type Measured, onPlane, principalPlane } from "../metrics/index.ts";
import type { Evaluation } from "../run/evaluate.ts";
import type { Paths } from "../run/paths.ts";
import { writeAtomic } from "./atomic.ts";
import type { Context } from "./context.ts";
import { figureContext, saveFigure } from "./figures.ts";
import { replaceReport } from "./reportFolder.ts";
import { textTable } from "./textTable.ts";

export interface ModelResult {
  readonly name: string;
  readonly path: string;
  readonly role: "teacher" | "student";
  readonly guidance: number;
  readonly evaluations: readonly Evaluation[];
  /** Along a fine grid (`fine`), and along the sampler's own. */
  readonly paths: readonly (Paths & { readonly steps: number; readonly fine: boolean })[];
}

export interface Report {
  readonly results: readonly ModelResult[];
  readonly protocol?: object;
  readonly notes: readonly string[];
}

/** Options of the evaluation that a report repeats. */
export interface ReportOptions {
  readonly out: string;
  readonly n: number;
  readonly force: boolean;
}

export async function writeReport(
  report: Report,
  shape: readonly number[],
  { force, ...o }: ReportOptions,
  context: Context,
): Promise<void> {
  const names = metricNames(report);
  await replaceReport(o.out, force, async (folder) => {
    await drawMetrics(report, names, folder, o.n, context);
    const paths = drawPaths(report);
    if (paths) await saveFigure(join(folder, "paths"), paths);
    const samples = sampleRows(report, shape, o.n);
    if (samples) await writeAtomic(join(folder, "samples.png"), samples);
    const results = report.results.map(({ evaluations, paths, ...model }) => ({
      ...model,
      evaluations: evaluations.map(({ shown, kind, states, ...numbers }) => numbers),
      paths: paths.map(({ trace, ...numbers }) => numbers),
    }));
    return { options: o, seed: context.seed, ...report, results };
  });
  context.report.event({ kind: "done", path: o.out });
  context.report.result(reportTable(report, names));
  if (report.results.some(({ paths }) => paths.length > 0)) context.report.result(`\n${pathTable(report)}`);
  for (const note of report.notes) context.report.result(note);
  context.report.note(
    `Report${names.length > 0 ? ", charts" : ""}${isPicture(shape) ? ", samples (one row per line of the table)" : ""}: ${o.out}`,
  );
}

/** One chart per metric. */
async function drawMetrics(
  report: Report,
  names: readonly string[],
  folder: string,
  n: number,
  context: Context,
): Promise<void> {
  for (const name of names) {
    const short = shortNames(report.results.map((model) => model.name));
    const series = report.results.map(
      (model, i): NfeSeries => ({
        name: short[i],
        role: model.role,
        points: model.evaluations.flatMap(({ nfe, values }) =>
          values[name] ? [{ nfe, value: values[name].value, deviation: values[name].standardError }] : [],
        ),
      }),
    );
    const drawn = series.filter(({ points }) => points.length > 0);
    const { long: metric, better } = metricTitle(name);
    const bars = drawn.some(({ points }) => points.some(({ deviation }) => deviation));
    const subtitle = `${n.toLocaleString("en-US")} samples, seed ${context.seed}${bars ? "; bars: standard error" : ""}`;
    await saveFigure(join(folder, name), metricVsNfe({ metric, better, subtitle, series: drawn }, figureContext()));
  }
}

/** Images of one or three channels can be shown; latents of four cannot. */
export const isPicture = ([channels, height = 1, width = 1]: readonly number[]): boolean =>
  (height > 1 || width > 1) && (channels === 1 || channels === 3);

/** The first samples of every evaluation, a row each; undefined for what is no picture. */
function sampleRows({ results }: Report, shape: readonly number[], n: number): Uint8Array | undefined {
  if (!isPicture(shape)) return undefined;
  const [channels, height = 1, width = 1] = shape;
  const columns = Math.min(16, n);
  const size = channels * height * width;
  const all = results.flatMap(({ evaluations }) => evaluations.map(({ shown }) => shown.subarray(0, columns * size)));
  const grid = new Float32Array(all.length * columns * size);
  all.forEach((row, i) => {
    grid.set(row, i * columns * size);
  });
  return gridPng(grid, [channels, height, width], { columns });
}

const metricNames = ({ results }: Report): string[] => [
  ...new Set(results.flatMap(({ evaluations }) => evaluations.flatMap(({ values }) => Object.keys(values)))),
];
function reportTable({ results }: Report, names: readonly string[]): string {
  const lines = results.flatMap(({ name, evaluations }) =>
    evaluations.map(({ steps, nfe, values, seconds }) => [
      name,
      String(steps),
      String(nfe),
      ...names.map((metric) => cell(values[metric])),
      `${(1000 * seconds).toPrecision(3)} ms`,
    ]),
  );
  return textTable(["model", "steps", "NFE", ...names, "per sample"], lines);
}

/** The models' own flows beside the variation of their predictions; undefined where none was measured. */
function drawPaths({ results }: Report): string | undefined {
  const flows = results.flatMap(({ name, role, paths }) =>
    paths.filter(({ fine, trace }) => fine && trace.dim > 1).map((path) => ({ name, role, ...path })),
  );
  if (flows.length === 0) return undefined;
  const [{ trace }] = flows;
  if (trace.states[0].length < 2 * trace.dim) return undefined;
  const plane = principalPlane(trace.states[trace.states.length - 1], trace.dim);
  const series = flows.map(
    ({ name, role, trace: { times, states }, whole, windows }): PathVariationSeries => ({
      title: name,
      role,
      times,
      states: states.map((state) => onPlane(plane, state)),
      edges: windows.map(({ from }) => from),
      variation: whole.variation,
      within: windows.map(({ variation }) => variation),
    }),
  );
  const coordinates = trace.dim === 2 ? "" : " on the two directions in which its samples differ most";
  const subtitle = `x/(alpha + sigma) along each model's own flow${coordinates}; the mean of a curve is FO_N`;
  return pathVariation({ title: "Paths and what is predicted along them", subtitle, series }, figureContext());
}

/** Straightness and first-orderness; 0 is a path that one step follows. */
function pathTable({ results }: Report): string {
  const number = (value: number | null) => (value === null ? "–" : value.toPrecision(3));
  const lines = results.flatMap(({ name, paths }) =>
    paths.map(({ steps, fine, whole }) => [
      name,
      fine ? `its flow (${steps})` : `${steps} steps`,
      number(whole.straightness),
      number(whole.firstOrder),
      number(whole.firstOrderSteps),
      number(whole.drift),
      number(whole.gap),
      number(whole.curvature.bow),
    ]),
  );
  const header = ["path", "along", "straightness", "FO_r", "FO_N", "drift", "gap", "bow"];
  return textTable(header, lines);
}

function cell(measured: Measured | undefined): string {
  if (!measured) return "–";
  const { value, standardError, floor } = measured;
  const error = standardError === undefined ? "" : ` ± ${standardError.toPrecision(1)}`;
  return `${value.toPrecision(3)}${error}${floor === undefined ? "" : ` (floor ${floor.toPrecision(2)})`}`;
}
