// Pictures of the plane: samples over the data, and the paths that lead to them. Panels share one scale.
import * as Plot from "@observablehq/plot";
import { type FigureContext, grey, type LegendItem, type Panel, pale, palette, renderSheet } from "./sheet.ts";

export interface PathsPanel {
  readonly title: string;
  /** From 1 (noise) down to 0 (data). */
  readonly times: readonly number[];
  /** The n points at each time, [n, 2]. */
  readonly states: readonly ArrayLike<number>[];
  /** Times between windows, where the paths are marked; 1 and 0 are left out. */
  readonly edges?: readonly number[];
}

export interface Trajectories2d extends PathPanels {
  readonly title?: string;
  readonly subtitle?: string;
}

export interface PathPanels {
  /** [m, 2] */
  readonly data?: ArrayLike<number>;
  readonly panels: readonly PathsPanel[];
  /** How many paths are drawn. Default 40. */
  readonly paths?: number;
}

export interface Scatter2d {
  readonly title?: string;
  readonly subtitle?: string;
  /** [m, 2], pale behind every panel. */
  readonly data?: ArrayLike<number>;
  readonly panels: readonly { readonly title: string /** [n, 2] */; readonly points: ArrayLike<number> }[];
}

const side = 300;
/** Points drawn at most: more make the file large and the picture no clearer. */
const mostDots = 1500;

/** Paths from noise to data side by side. An SVG. Throws a RangeError where states and times do not fit. */
export function trajectories2d(figure: Trajectories2d, context: FigureContext): string {
  const { title = "From noise to data", subtitle } = figure;
  return renderSheet({ title, subtitle, ...pathPanels(figure) }, context);
}

/** One panel of paths per model, and their legend. */
export function pathPanels(figure: PathPanels): { panels: Panel[]; legend: LegendItem[] } {
  const { data = [], paths = 40 } = figure;
  const cloud = pointsOf(data, "data");
  const drawn = figure.panels.map((panel) => {
    const { times, states } = panel;
    if (states.length !== times.length || states.length < 2) {
      throw new RangeError(
        `"${panel.title}" has ${states.length} states for ${times.length} times, expected one each and at least two.`,
      );
    }
    const clouds = states.map((state, k) => pointsOf(state, `${panel.title}, state ${k}`));
    const count = Math.min(paths, clouds[0].length);
    const lines = clouds.flatMap((points) => points.slice(0, count).map(([x, y], path) => ({ x, y, path })));
    const atEdges = times.flatMap((t, k) => (isEdge(t, panel.edges) ? clouds[k].slice(0, count) : []));
    return {
      panel,
      lines,
      starts: clouds[0].slice(0, count),
      ends: clouds[clouds.length - 1].slice(0, count),
      atEdges,
    };
  });
  const limit = extent([cloud, ...drawn.flatMap(({ starts, ends }) => [central(starts), ends])]);
  const panels = drawn.map(
    ({ panel, lines, starts, ends, atEdges }): Panel => ({
      title: panel.title,
      options: square(limit, [
        dots(cloud, limit, pale, 1.3),
        Plot.line(lines, {
          x: "x",
          y: "y",
          z: "path",
          stroke: palette[0],
          strokeWidth: 0.9,
          strokeOpacity: 0.6,
          clip: true,
        }),
        dots(starts, limit, grey, 1.6),
        Plot.dot(atEdges, { r: 1.8, fill: "white", stroke: palette[4], strokeWidth: 1.2, clip: true }),
        dots(ends, limit, palette[1], 2.2),
      ]),
    }),
  );
  const legend: LegendItem[] = [
    ...(cloud.length > 0 ? [{ name: "data", color: pale, kind: "dot" } as const] : []),
    { name: "noise", color: grey, kind: "dot" },
    { name: "path", color: palette[0] },
    ...(drawn.some(({ atEdges }) => atEdges.length > 0)
      ? [{ name: "window edge", color: palette[4], kind: "ring" } as const]
      : []),
    { name: "sample", color: palette[1], kind: "dot" },
  ];
  return { panels, legend };
}

/** Samples side by side, over the data where given. An SVG. */
export function scatter2d({ title = "Samples", subtitle, data, panels }: Scatter2d, context: FigureContext): string {
  const cloud = data ? pointsOf(data, "data") : [];
  const drawn = panels.map((panel) => ({ title: panel.title, points: pointsOf(panel.points, panel.title) }));
  // Stray samples must not shrink the picture: the data, if there, sets the scale.
  const limit = extent(cloud.length > 0 ? [cloud] : drawn.map(({ points }) => points));
  const legend: LegendItem[] = [
    ...(data ? [{ name: "data", color: pale, kind: "dot" } as const] : []),
    { name: "samples", color: palette[0], kind: "dot" },
  ];
  return renderSheet(
    {
      title,
      subtitle,
      legend,
      panels: drawn.map(({ title, points }) => ({
        title,
        options: square(limit, [dots(cloud, limit, pale, 1.3), dots(points, limit, palette[0], 1.5)]),
      })),
    },
    context,
  );
}

/** As `scatter2d` in rows of `columns` panels, one below the other. */
export function scatterRows(
  { title = "Samples", panels, data, columns = 4 }: Scatter2d & { readonly columns?: number },
  context: FigureContext,
): string {
  const rows = Array.from({ length: Math.ceil(panels.length / columns) }, (_, i) =>
    scatter2d({ title: i === 0 ? title : " ", data, panels: panels.slice(i * columns, (i + 1) * columns) }, context),
  );
  let [y, width] = [0, 0];
  const parts = rows.map((svg) => {
    const [, w, h] = svg.match(/^<svg[^>]* width="([\d.]+)" height="([\d.]+)"/) ?? [];
    const placed = svg.replace("<svg ", `<svg y="${y}" `);
    y += Number(h);
    width = Math.max(width, Number(w));
    return placed;
  });
  const box = `width="${width}" height="${y}" viewBox="0 0 ${width} ${y}"`;
  const ground = `<rect width="${width}" height="${y}" fill="white" />`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${box}>${ground}${parts.join("")}</svg>`;
}

type Point = readonly [number, number];

/** All dots as one path of round points, a tenth of the size of as many circles. Dots outside the frame are left out. */
const dots = (points: readonly Point[], limit: number, color: string, r: number): Plot.RenderFunction => {
  const inside = points.slice(0, mostDots).filter(([x, y]) => Math.abs(x) <= limit && Math.abs(y) <= limit);
  return (_index, { x: toX, y: toY }, _values, _dimensions, { document }) => {
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", inside.map(([x, y]) => `M${toX?.(x).toFixed(1)},${toY?.(y).toFixed(1)}h0`).join(""));
    path.setAttribute("stroke", color);
    path.setAttribute("stroke-width", String(2 * r));
    path.setAttribute("stroke-linecap", "round");
    return path;
  };
};

const square = (limit: number, marks: Plot.Markish[]): Plot.PlotOptions => {
  const axis = { domain: [-limit, limit], label: null, ticks: 5 };
  const margins = { marginLeft: 28, marginRight: 8, marginTop: 10, marginBottom: 24 };
  return {
    width: side + 36,
    height: side + 34,
    ...margins,
    x: axis,
    y: axis,
    marks: [Plot.frame({ stroke: pale }), ...marks],
  };
};

const isEdge = (t: number, edges: readonly number[] = []) =>
  edges.some((edge) => edge > 1e-6 && edge < 1 - 1e-6 && Math.abs(edge - t) < 1e-6);

/** Without the farthest twentieth: a few stray starts must not shrink the picture. */
const central = (points: readonly Point[]): Point[] =>
  [...points].sort((a, b) => Math.hypot(...a) - Math.hypot(...b)).slice(0, Math.ceil(points.length * 0.95));

function extent(clouds: readonly (readonly Point[])[]): number {
  let largest = 0;
  for (const cloud of clouds) for (const [x, y] of cloud) largest = Math.max(largest, Math.abs(x), Math.abs(y));
  return Number.isFinite(largest) && largest > 0 ? 1.06 * largest : 1;
}

function pointsOf(flat: ArrayLike<number>, name: string): Point[] {
  if (flat.length % 2 !== 0) {
    throw new RangeError(`"${name}" has ${flat.length} numbers, expected an even number: x and y of every point.`);
  }
  return Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i], flat[2 * i + 1]]);
}
