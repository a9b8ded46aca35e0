// A metric over the number of network evaluations per sample: the teacher grey and dashed, students in color.
import * as Plot from "@observablehq/plot";
import { type FigureContext, grey, logTicks, renderSheet, type SeriesStyle, seriesStyle } from "./sheet.ts";

export interface NfeSeries {
  readonly name: string;
  /** Default "student". */
  readonly role?: "teacher" | "student";
  /** `deviation`: drawn as a bar up and down. */
  readonly points: readonly { readonly nfe: number; readonly value: number; readonly deviation?: number }[];
}

export interface MetricVsNfe {
  /** "Fréchet distance" */
  readonly metric: string;
  readonly better: "lower" | "higher";
  readonly title?: string;
  readonly subtitle?: string;
  readonly series: readonly NfeSeries[];
}

/** An SVG; the metric's axis is logarithmic where values are positive and span more than a factor of eight. */
export function metricVsNfe({ metric, better, title, subtitle, series }: MetricVsNfe, context: FigureContext): string {
  let next = 0;
  const styled = series.map((one) => {
    const teacher = one.role === "teacher";
    const style: SeriesStyle = teacher ? { color: grey, kind: "dashed", dash: "6 3" } : seriesStyle(next++);
    return { ...one, ...style };
  });
  const all = styled.flatMap(({ points }) => points);
  const values = all.map(({ value }) => value);
  const ends = all.flatMap(({ value, deviation = 0 }) => [value - deviation, value + deviation]);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const wide = low > 0 && high > 8 * low;
  // On a logarithmic axis a bar that reaches zero ends at the axis.
  const floor = wide ? Math.min(low, ...ends.filter((end) => end > 0)) / 1.3 : Number.NEGATIVE_INFINITY;
  const steps = [...new Set(all.map(({ nfe }) => nfe))].sort((a, b) => a - b);
  const marks: Plot.Markish[] = [Plot.gridY({ strokeOpacity: 0.12 })];
  for (const { points, color, dash } of styled) {
    const sorted = [...points].sort((a, b) => a.nfe - b.nfe);
    const bars = sorted.flatMap(({ nfe, value, deviation }) =>
      deviation ? [{ nfe, low: Math.max(floor, value - deviation), high: value + deviation }] : [],
    );
    marks.push(
      Plot.ruleX(bars, { x: "nfe", y1: "low", y2: "high", stroke: color, strokeWidth: 1.6, strokeOpacity: 0.7 }),
      Plot.lineY(sorted, { x: "nfe", y: "value", stroke: color, strokeWidth: 2.2, strokeDasharray: dash }),
      Plot.dot(sorted, { x: "nfe", y: "value", r: 4, fill: color, stroke: "white", strokeWidth: 1 }),
    );
  }
  const options: Plot.PlotOptions = {
    x: {
      type: "log",
      base: 2,
      label: "network evaluations per sample",
      labelAnchor: "center",
      labelArrow: "none",
      ticks: steps,
      tickFormat: (n: number) => String(n),
      inset: 16,
    },
    y: {
      type: wide ? "log" : "linear",
      zero: !wide && Math.min(...ends) >= 0,
      nice: !wide,
      label: `${metric} (${better} is better)`,
      labelArrow: "none",
      ticks: wide ? logTicks(low, high) : 6,
      tickFormat: "~g",
      insetTop: 6,
      insetBottom: wide ? 10 : 0,
    },
    marks,
  };
  const legend = styled.map(({ name, color, kind }) => ({ name, color, kind }));
  return renderSheet(
    { title: title ?? `${metric} by number of steps`, subtitle, legend, panels: [{ options }] },
    context,
  );
}
