// Loss over images seen: every value pale, a running mean on top.
import * as Plot from "@observablehq/plot";
import { type FigureContext, logTicks, palette, renderSheet } from "./sheet.ts";

export interface LossSeries {
  readonly name: string;
  /** Images seen at each value. */
  readonly images: ArrayLike<number>;
  readonly loss: ArrayLike<number>;
}

export interface LossCurve {
  readonly title?: string;
  readonly subtitle?: string;
  readonly series: readonly LossSeries[];
  /** Values in the running mean; default a twentieth of the curve. */
  readonly smoothing?: number;
}

/** An SVG; the loss axis is logarithmic where losses are positive and span more than a factor of five. Throws a RangeError where a series is empty. */
export function lossCurve({ title = "Training loss", subtitle, series, smoothing }: LossCurve, context: FigureContext) {
  const marks: Plot.Markish[] = [Plot.gridY({ strokeOpacity: 0.12 })];
  const raw = series.map((one, i) => ({ color: palette[i % palette.length], points: pointsOf(one) }));
  for (const { color, points } of raw) {
    marks.push(Plot.lineY(thin(points), { x: "x", y: "y", stroke: color, strokeOpacity: 0.25, strokeWidth: 1 }));
  }
  for (const { color, points } of raw) {
    const k = smoothing ?? Math.max(1, Math.round(points.length / 20));
    marks.push(Plot.lineY(thin(runningMean(points, k)), { x: "x", y: "y", stroke: color, strokeWidth: 2.2 }));
  }
  const values = raw.flatMap(({ points }) => points.map(({ y }) => y)).filter(Number.isFinite);
  const low = values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const high = values.reduce((a, b) => Math.max(a, b), 0);
  const logarithmic = low > 0 && high > 5 * low;
  const options: Plot.PlotOptions = {
    x: { label: "images seen", labelAnchor: "center", labelArrow: "none", tickFormat: thousands, ticks: 7 },
    y: {
      type: logarithmic ? "log" : "linear",
      label: "loss",
      labelArrow: "none",
      ticks: logarithmic ? logTicks(low, high) : 6,
      tickFormat: "~g",
    },
    marks,
  };
  const legend = series.length > 1 ? series.map(({ name }, i) => ({ name, color: palette[i % palette.length] })) : [];
  return renderSheet(
    { title, subtitle: subtitle ?? (legend.length ? undefined : series[0]?.name), legend, panels: [{ options }] },
    context,
  );
}

interface Point {
  readonly x: number;
  readonly y: number;
}

function pointsOf({ name, images, loss }: LossSeries): Point[] {
  if (loss.length === 0 || loss.length !== images.length) {
    throw new RangeError(
      `"${name}" has ${loss.length} losses for ${images.length} positions, expected one each, not none.`,
    );
  }
  return Array.from(loss, (y, i) => ({ x: images[i], y }));
}

/** The mean of the last k values, of fewer at the beginning. A value that is not finite is left out and stays a gap. */
export function runningMean(points: readonly Point[], k: number): Point[] {
  let sum = 0;
  let count = 0;
  const add = (y: number, sign: 1 | -1) => {
    if (!Number.isFinite(y)) return;
    sum += sign * y;
    count += sign;
  };
  return points.map(({ x, y }, i) => {
    add(y, 1);
    if (i >= k) add(points[i - k].y, -1);
    return { x, y: Number.isFinite(y) ? sum / count : Number.NaN };
  });
}

/** More points than pixels only make the file large. */
const thin = (points: readonly Point[]): readonly Point[] => {
  const step = Math.ceil(points.length / 2000);
  return points.filter((_, i) => i % step === 0 || i === points.length - 1);
};

const thousands = (n: number) => (n >= 1e6 ? `${n / 1e6}M` : n >= 1000 ? `${n / 1000}k` : String(n));
