// A metric over training, by images seen: one panel per number of steps, a line per method, bars for the seeds' deviation.
import * as Plot from "@observablehq/plot";
import { type FigureContext, logTicks, type Panel, renderSheet, seriesStyle } from "./sheet.ts";

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
  const styleOf = (name: string) => seriesStyle(names.indexOf(name));
  const panels = figure.panels.map(({ title, series }): Panel => {
    const all = series.flatMap(({ points }) => points);
    const values = all.map(({ value }) => value);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const wide = low > 0 && high > 8 * low;
    const marks: Plot.Markish[] = [Plot.gridY({ strokeOpacity: 0.12 })];
    for (const { name, points } of series) {
      const { color, dash } = styleOf(name);
      const bars = points.flatMap(({ images, value, deviation }) =>
        deviation
          ? [{ images, low: Math.max(wide ? low / 1.3 : -1e300, value - deviation), high: value + deviation }]
          : [],
      );
      marks.push(
        Plot.ruleX(bars, { x: "images", y1: "low", y2: "high", stroke: color, strokeOpacity: 0.6 }),
        Plot.lineY(points, { x: "images", y: "value", stroke: color, strokeWidth: 2, strokeDasharray: dash }),
        Plot.dot(points, { x: "images", y: "value", r: 2.5, fill: color }),
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
  const legend = names.map((name) => ({ name, color: styleOf(name).color, kind: styleOf(name).kind }));
  return renderSheet({ title, subtitle, legend, panels }, context);
}
