// What a comparison leaves behind: one table, charts, curves over training, a grid on the same noise, report.html with all
// of it inside, and report.json.
import { join } from "node:path";
import { encodePng, sampleGrid } from "../../data/png.ts";
import { metricTitle } from "../../figures/metricNames.ts";
import { metricVsImages } from "../../figures/metricVsImages.ts";
import { metricVsNfe } from "../../figures/metricVsNfe.ts";
import { scatterRows } from "../../figures/plane.ts";
import { sampleRows } from "../../figures/sampleRows.ts";
import { writeAtomic } from "../atomic.ts";
import type { Context } from "../context.ts";
import { isPicture } from "../evaluationReport.ts";
import { figureContext, saveFigure, svgToPng } from "../figures.ts";
import { replaceReport } from "../reportFolder.ts";
import { textTable } from "../textTable.ts";
import { htmlReport } from "./html.ts";
import type { Plan } from "./planSchema.ts";
import { curveOf, type EntryResult, type Row, rowsOf, type Spread } from "./results.ts";

/** Samples of a model at a number of steps, from the noise that all share. */
export interface ShownRow {
  readonly label: string;
  /** [n, ...sampleShape] */
  readonly x: Float32Array;
}

export interface Comparison {
  readonly plan: Plan;
  readonly results: readonly EntryResult[];
  /** Measured, in the order of columns. */
  readonly metrics: readonly string[];
  readonly shown: readonly ShownRow[];
  readonly sampleShape: readonly number[];
  /** Points of the plane are shown over these. */
  readonly data?: ArrayLike<number>;
  readonly protocol?: object;
  readonly notes: readonly string[];
}

export interface Figure {
  readonly name: string;
  readonly title: string;
  readonly svg: string;
}

export async function writeComparison(
  comparison: Comparison,
  { out, force }: { readonly out: string; readonly force: boolean },
  context: Context,
): Promise<readonly Row[]> {
  const { plan, results, metrics, notes, protocol } = comparison;
  const rows = rowsOf(results, metrics);
  const table = tableOf(rows, metrics);
  await replaceReport(out, force, async (folder) => {
    const figures = [...charts(comparison), ...curves(comparison), ...picture(comparison)];
    for (const { name, svg } of figures) await saveFigure(join(folder, name), svg);
    const small = await Promise.all(figures.map(async (figure) => ({ ...figure, png: await asPng(figure) })));
    const html = htmlReport({ plan, table, figures: small, notes, device: context.runtime.device });
    await writeAtomic(join(folder, "report.html"), html);
    return { kind: "comparison", plan, device: context.runtime.device, protocol, rows, results, notes };
  });
  context.report.event({ kind: "done", path: out });
  context.report.result(textTable(table.head, table.lines));
  for (const note of notes) context.report.result(note);
  context.report.note(`Report with charts, curves and samples: ${join(out, "report.html")}`);
  return rows;
}

/** A picture with thousands of dots is smaller as PNG. */
const asPng = async ({ svg, name }: Figure): Promise<Uint8Array | undefined> =>
  name === "samples" ? svgToPng(svg) : undefined;

export interface Table {
  readonly head: readonly string[];
  readonly lines: readonly (readonly string[])[];
}

/** Method by network evaluations. */
export function tableOf(rows: readonly Row[], metrics: readonly string[]): Table {
  const paths = rows.some((row) => row.straightness !== null || row.firstOrder !== null);
  const head = [
    ...["method", "steps", "NFE", ...metrics.map((name) => metricTitle(name).short)],
    ...(paths ? ["straightness", "first order"] : []),
    ...["seconds", "images", "teacher NFE"],
  ];
  const lines = rows.map((row) => [
    row.name,
    String(row.steps),
    String(row.nfe),
    ...metrics.map((name) => spreadText(row.values[name] ?? null)),
    ...(paths ? [spreadText(row.straightness), spreadText(row.firstOrder)] : []),
    spreadText(row.seconds, 2),
    whole(row.images),
    whole(row.teacherEvaluations),
  ]);
  return { head, lines };
}

export function spreadText(spread: Spread | null, digits = 3): string {
  if (!spread) return "–";
  const { mean, deviation } = spread;
  return deviation === null ? plain(mean, digits) : `${plain(mean, digits)} ± ${plain(deviation, 1)}`;
}
/** Without powers of ten where that is readable. */
const plain = (x: number, digits: number): string => {
  const text = x.toPrecision(digits);
  return text.includes("e") && Math.abs(x) >= 1e-4 && Math.abs(x) < 1e9 ? String(Number(text)) : text;
};
const whole = (spread: Spread | null): string => (spread ? Math.round(spread.mean).toLocaleString("en-US") : "–");

const seedsText = ({ plan: { seeds, n } }: Comparison): string =>
  `${n.toLocaleString("en-US")} samples, ${seeds.length === 1 ? `seed ${seeds[0]}` : `${seeds.length} seeds; bars: their standard deviation`}`;

function charts(comparison: Comparison): Figure[] {
  const { results, metrics } = comparison;
  const rows = rowsOf(results, metrics);
  return metrics.flatMap((name) => {
    const { long: metric, better } = metricTitle(name);
    const series = results.flatMap((entry) => {
      const points = rows.flatMap((row) => {
        const spread = row.name === entry.name && row.role === entry.role ? row.values[name] : undefined;
        return spread ? [{ nfe: row.nfe, value: spread.mean, deviation: spread.deviation ?? undefined }] : [];
      });
      return points.length > 0 ? [{ name: entry.name, role: entry.role, points }] : [];
    });
    if (series.length === 0) return [];
    const svg = metricVsNfe({ metric, better, subtitle: seedsText(comparison), series }, figureContext());
    return [{ name, title: `${metric} by number of network evaluations`, svg }];
  });
}

/** Of the first metric that says how good samples are. */
function curves(comparison: Comparison): Figure[] {
  const { results, metrics, plan } = comparison;
  const [name] = metrics;
  if (name === undefined) return [];
  const { long: metric, better } = metricTitle(name);
  const students = results.filter(({ role }) => role === "student");
  const steps = [...new Set(students.flatMap(({ seeds: [first] }) => first.numbers.at.map((at) => at.steps)))];
  const panels = [...steps]
    .sort((a, b) => a - b)
    .slice(0, 3)
    .flatMap((count) => {
      const series = students.flatMap((entry) => {
        const points = curveOf(entry, name, count).map(({ images, value }) => ({
          images,
          value: value.mean,
          deviation: value.deviation ?? undefined,
        }));
        return points.length > 1 ? [{ name: entry.name, points }] : [];
      });
      return series.length > 0 ? [{ title: `${count} step${count === 1 ? "" : "s"}`, series }] : [];
    });
  if (panels.length === 0 || plan.curve === 0) return [];
  const title = `${metric} over training`;
  const figure = { metric, better, title, subtitle: seedsText(comparison), panels };
  return [{ name: "curves", title, svg: metricVsImages(figure, figureContext()) }];
}

function picture({ shown, sampleShape, data, plan }: Comparison): Figure[] {
  if (shown.length === 0) return [];
  const title = `From the same noise, seed ${plan.seeds[0]}`;
  if (isPicture(sampleShape)) {
    const [channels, height = 1, width = 1] = sampleShape;
    const size = channels * height * width;
    const rows = shown.map(({ label, x }) => {
      const image = sampleGrid(x, [channels, height, width], { columns: x.length / size });
      return { label, png: encodePng(image), width: image.width, height: image.height };
    });
    return [{ name: "samples", title, svg: sampleRows({ title, rows }) }];
  }
  if (sampleShape[0] !== 2) return [];
  const panels = shown.map(({ label, x }) => ({ title: label, points: x }));
  return [{ name: "samples", title, svg: scatterRows({ title, data, panels }, figureContext()) }];
}
