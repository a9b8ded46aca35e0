// A form: alpha and sigma over time, and as a path in their own plane; a second form (its chords) dashed on top.
import * as Plot from "@observablehq/plot";
import { type FigureContext, grey, type LegendItem, pale, palette, renderSheet } from "./sheet.ts";

export interface FormCurve {
  readonly name: string;
  readonly times: readonly number[];
  readonly alpha: ArrayLike<number>;
  readonly sigma: ArrayLike<number>;
}

export interface AlphaSigma {
  readonly title?: string;
  readonly subtitle?: string;
  readonly form: FormCurve;
  readonly chord?: FormCurve;
  /** Edges of the windows, drawn as lines. */
  readonly edges?: readonly number[];
}

/** An SVG of two panels. Throws a RangeError where a curve has not one alpha and one sigma per time. */
export function alphaSigma({ title, subtitle, form, chord, edges = [] }: AlphaSigma, context: FigureContext): string {
  const base = rowsOf(form);
  const over = chord ? rowsOf(chord) : [];
  const corners = over.filter(({ t }) => edges.some((edge) => Math.abs(edge - t) < 1e-6));
  const [alpha, sigma] = palette;
  const dashed = { strokeWidth: 2, strokeDasharray: "6 3" };
  const overTime: Plot.PlotOptions = {
    width: 480,
    x: { label: "t (0 is data, 1 is noise)", labelAnchor: "center", labelArrow: "none", ticks: 5 },
    y: { label: "weight of data and of noise", labelArrow: "none", ticks: 5 },
    marks: [
      Plot.gridY({ strokeOpacity: 0.12 }),
      Plot.ruleX(edges, { stroke: pale, strokeWidth: 1 }),
      Plot.lineY(base, { x: "t", y: "alpha", stroke: alpha, strokeWidth: 2.2 }),
      Plot.lineY(base, { x: "t", y: "sigma", stroke: sigma, strokeWidth: 2.2 }),
      Plot.lineY(over, { x: "t", y: "alpha", stroke: grey, ...dashed }),
      Plot.lineY(over, { x: "t", y: "sigma", stroke: grey, ...dashed }),
    ],
  };
  const plane: Plot.PlotOptions = {
    width: 372,
    x: { label: "alpha", labelAnchor: "center", labelArrow: "none", ticks: 5 },
    y: { label: "sigma", labelArrow: "none", ticks: 5 },
    marks: [
      Plot.frame({ stroke: pale }),
      Plot.line(base, { x: "alpha", y: "sigma", stroke: palette[2], strokeWidth: 2.2 }),
      Plot.line(over, { x: "alpha", y: "sigma", stroke: grey, ...dashed }),
      Plot.dot(corners, { x: "alpha", y: "sigma", r: 3.5, fill: "white", stroke: grey, strokeWidth: 1.5 }),
    ],
  };
  const legend: LegendItem[] = [
    { name: `alpha, ${form.name}`, color: alpha },
    { name: `sigma, ${form.name}`, color: sigma },
    { name: `path of ${form.name}`, color: palette[2] },
    ...(chord ? [{ name: chord.name, color: grey, kind: "dashed" } as const] : []),
  ];
  return renderSheet(
    {
      title: title ?? `The form ${form.name}`,
      subtitle,
      legend,
      panels: [
        { title: "over time", options: overTime },
        { title: "sigma over alpha", options: plane },
      ],
    },
    context,
  );
}

function rowsOf({ name, times, alpha, sigma }: FormCurve) {
  if (alpha.length !== times.length || sigma.length !== times.length) {
    throw new RangeError(
      `"${name}" has ${alpha.length} alphas and ${sigma.length} sigmas, expected ${times.length}, one per time.`,
    );
  }
  return times.map((t, i) => ({ t, alpha: alpha[i], sigma: sigma[i] }));
}
