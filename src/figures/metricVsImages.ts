// A metric over training, by images seen: one panel per number of steps, a line per method, bars for the seeds' deviation.
import * as Plot from "@observablehq/plot";
import { type FigureContext, logTicks, type Panel, palette, renderSheet } from "./sheet.ts";

export interface ImagesSeries {
  readonly name: string;
  readonly points: readonly { readonly images: number; readonly value: number; readonly deviation?: number }[];
}

export interface MetricVsImages {
  readonly metric: string;
  readonly better: "lower" | "higher";
  readonly title: string;
  readonly subtitle?: string;
  readonly panels: readonly { readonly title: string; readonly series: readonly ImagesSeries[] }[];
}

/** An SVG. A series has the same color in every panel. */
export function metricVsImages(figure: MetricVsImages, context: FigureContext): string {
  const { metric, better, title, subtitle } = figure;
  const names = [...new Set(figure.panels.flatMap(({ series }) => series.map(({ name }) => name)))];
  const color = (name: string) => palette[names.indexOf(name) % palette.length];
  const panels = figure.panels.map(({ title, series }): Panel => {
    const all = series.flatMap(({ points }) => points);
    const values = all.map(({ value }) => value);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const wide = low > 0 && high > 8 * low;
    const marks: Plot.Markish[] = [Plot.gridY({ strokeOpacity: 0.12 })];
    for (const { name, points } of series) {
      const bars = points.flatMap(({ images, value, deviation }) =>
        deviation
          ? [{ images, low: Math.max(wide ? low / 1.3 : -1e300, value - deviation), high: value + deviation }]
          : [],
      );
      marks.push(
        Plot.ruleX(bars, { x: "images", y1: "low", y2: "high", stroke: color(name), strokeOpacity: 0.6 }),
        Plot.lineY(points, { x: "images", y: "value", stroke: color(name), strokeWidth: 2 }),
        Plot.dot(points, { x: "images", y: "value", r: 2.5, fill: color(name) }),
      );
    }
    return {
      title,
      options: {
        width: 420,
        height: 320,
        x: { label: "images seen", labelAnchor: "center", labelArrow: "none", tickFormat: "~s", ticks: 5, inset: 8 },
        y: {
          type: wide ? "log" : "linear",
          label: `${metric} (${better} is better)`,
          labelArrow: "none",
          ticks: wide ? logTicks(low, high) : 6,
          tickFormat: "~g",
          nice: !wide,
          insetTop: 6,
        },
        marks,
      },
    };
  });
  const legend = names.map((name) => ({ name, color: color(name), kind: "line" }) as const);
  return renderSheet({ title, subtitle, legend, panels }, context);
}
