// Trajectories, windows and how much the prediction changes along them, side by side.
import * as Plot from "@observablehq/plot";
import { type PathsPanel, pathPanels } from "./plane.ts";
import { type FigureContext, grey, type LegendItem, logTicks, pale, palette, renderSheet } from "./sheet.ts";

type Curve = readonly { readonly t: number; readonly value: number }[];

export interface PathVariationSeries extends PathsPanel {
  /** Default "student". */
  readonly role?: "teacher" | "student";
  /** E|eps - its mean|² over E|eps|² along the path: 0 is first order. */
  readonly variation: Curve;
  /** The same from the mean of each window. */
  readonly within?: readonly Curve[];
}

export interface PathVariation {
  readonly title?: string;
  readonly subtitle?: string;
  readonly series: readonly PathVariationSeries[];
}

/** Powers of ten alone where there are many decades. */
const thinned = (ticks: readonly number[]) =>
  ticks.length > 8 ? ticks.filter((tick) => Number.isInteger(Math.round(1e6 * Math.log10(tick)) / 1e6)) : [...ticks];

/** What would be below it is drawn at it: rounding. */
const floor = 1e-6;

/** An SVG: one panel of paths per model, then one of all variations over time. Throws a RangeError where nothing is given. */
export function pathVariation({ title = "Paths", subtitle, series }: PathVariation, context: FigureContext): string {
  const paths = pathPanels({ panels: series });
  let next = 1;
  const styled = series.map((one) => ({ ...one, color: one.role === "teacher" ? grey : palette[++next % palette.length] }));
  const edges = [...new Set(series.flatMap((one) => (one.edges ?? []).filter((t) => t > 1e-6 && t < 1 - 1e-6)))];
  const values = series.flatMap(({ variation, within = [] }) =>
    [variation, ...within].flat().map(({ value }) => value),
  );
  const low = Math.max(floor, Math.min(...values));
  const ticks = logTicks(low, Math.max(low, ...values));
  const clipped = (curve: Curve) => curve.map(({ t, value }) => ({ t, value: Math.max(value, floor) }));
  const marks: Plot.Markish[] = [
    Plot.gridY({ strokeOpacity: 0.12 }),
    Plot.ruleX(edges, { stroke: pale, strokeWidth: 1.5 }),
  ];
  for (const { variation, within = [], color } of styled) {
    marks.push(Plot.lineY(clipped(variation), { x: "t", y: "value", stroke: color, strokeWidth: 2.2 }));
    for (const curve of within)
      marks.push(
        Plot.lineY(clipped(curve), { x: "t", y: "value", stroke: color, strokeWidth: 1.6, strokeDasharray: "3 2" }),
      );
  }
  const options: Plot.PlotOptions = {
    width: 480,
    height: 334,
    marginLeft: 76,
    x: { label: "t, from noise to data", domain: [1, 0], labelAnchor: "center", labelArrow: "none", ticks: 5 },
    y: { type: "log", label: "|eps − mean|² / |eps|²", labelArrow: "none", ticks: thinned(ticks), tickFormat: "~g" },
    marks,
  };
  const legend: LegendItem[] = [
    ...paths.legend,
    ...styled.map(({ title, color }) => ({ name: title, color })),
    ...(styled.some(({ within = [] }) => within.length > 0)
      ? [{ name: "within its windows", color: grey, kind: "dashed" } as const]
      : []),
  ];
  const panels = [...paths.panels, { title: "variation of the prediction", options }];
  return renderSheet({ title, subtitle, legend, panels }, context);
}
