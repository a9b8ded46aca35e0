// One SVG from panels of Observable Plot: title, legend and panel titles are drawn here, so that the result is a single
// picture (Plot's own titles and legends are HTML). A document is injected: the browser's, or linkedom's.
import * as Plot from "@observablehq/plot";

export interface Panel {
  readonly title?: string;
  readonly options: Plot.PlotOptions;
}

export interface LegendItem {
  readonly name: string;
  readonly color: string;
  /** Default "line". */
  readonly kind?: "line" | "dashed" | "dotted" | "dot" | "ring";
}

export interface Sheet {
  readonly title: string;
  readonly subtitle?: string;
  readonly legend?: readonly LegendItem[];
  readonly panels: readonly Panel[];
}

/** What figures need besides their data. */
export interface FigureContext {
  readonly document: Document;
}

/** Colors of series in order; grey is for the teacher and for references. */
export const palette = ["#4269d0", "#ff725c", "#3ca951", "#a463f2", "#efb118", "#6cc5b0", "#9c6b4e", "#ff8ab7"];
const dotted = "2 3";
export const grey = "#71717a";
/** How a series looks: more than there are colors are dotted. */
export function seriesStyle(index: number): SeriesStyle {
  const color = palette[index % palette.length];
  return index < palette.length ? { color, kind: "line" } : { color, kind: "dotted", dash: dotted };
}
export interface SeriesStyle {
  readonly color: string;
  readonly kind: NonNullable<LegendItem["kind"]>;
  readonly dash?: string;
}
export const pale = "#d4d4d8";
const ink = "#18181b";
const font = "system-ui, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif";

const margin = 20;
const gap = 24;
const legendRow = 22;

/** Options that all panels share; those of the figure win. */
const common = {
  width: 560,
  height: 360,
  marginLeft: 56,
  marginRight: 20,
  marginTop: 24,
  marginBottom: 44,
  style: { fontSize: "12px", color: ink, fontFamily: font },
} satisfies Plot.PlotOptions;

/** Throws a RangeError for a sheet without panels. */
export function renderSheet({ title, subtitle, legend = [], panels }: Sheet, { document }: FigureContext): string {
  if (panels.length === 0) throw new RangeError(`The figure "${title}" has no panels, expected at least one.`);
  const plots = panels.map(({ options }) => Plot.plot({ ...common, ...options, document }));
  const widths = panels.map(({ options }) => options.width ?? common.width);
  // Letters of the title's size are about 10 wide: long names of runs are not cut.
  const needed = 10 * title.length + 2 * margin;
  const width = Math.max(needed, widths.reduce((a, b) => a + b, 0) + gap * (panels.length - 1) + 2 * margin);
  const parts: string[] = [];
  let y = margin + 16;
  parts.push(text(margin, y, title, 'font-size="18" font-weight="600"'));
  if (subtitle) {
    y += 22;
    parts.push(text(margin, y, subtitle, `font-size="13" fill="${grey}"`));
  }
  if (legend.length > 0) {
    y += 12;
    const rows = layLegend(legend, width - 2 * margin);
    for (const row of rows) {
      y += legendRow / 2;
      for (const { item, x } of row) parts.push(swatch(item, margin + x, y));
      y += legendRow / 2;
    }
  }
  y += 8;
  if (panels.some((panel) => panel.title)) {
    y += 20;
    panels.forEach((panel, i) => {
      const x = margin + widths.slice(0, i).reduce((a, b) => a + b + gap, 0);
      const { marginLeft: left = common.marginLeft, marginRight: right = common.marginRight } = panel.options;
      const middle = x + (left + widths[i] - right) / 2;
      const title = fitted(panel.title ?? "", widths[i]);
      parts.push(text(middle, y, title, 'font-size="14" font-weight="600" text-anchor="middle"'));
    });
  }
  plots.forEach((plot, i) => {
    const x = margin + widths.slice(0, i).reduce((a, b) => a + b + gap, 0);
    plot.setAttribute("x", String(x));
    plot.setAttribute("y", String(y));
    parts.push(roundNumbers(plot.outerHTML));
  });
  const height = y + Math.max(...panels.map(({ options }) => options.height ?? common.height)) + margin / 2;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="${font}" fill="${ink}" color="${ink}">`,
    `<title>${escapeXml(title)}</title>`,
    `<rect width="${width}" height="${height}" fill="white" />`,
    ...parts,
    "</svg>\n",
  ].join("\n");
}

/** Ticks 1, 2, 5, 10, ... between two positive numbers, so that every tick of a logarithmic axis has its label. */
export function logTicks(low: number, high: number): number[] {
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
    for (const digit of [1, 2, 5]) ticks.push(Number(`${digit}e${power}`));
  }
  return ticks.filter((tick) => tick >= low && tick <= high);
}

/** Items from left to right, in a new row where they would not fit. */
function layLegend(items: readonly LegendItem[], width: number) {
  const rows: { item: LegendItem; x: number }[][] = [[]];
  let x = 0;
  for (const item of items) {
    const needed = 30 + textWidth(item.name, 13) + 22;
    if (x + needed - 22 > width && x > 0) {
      rows.push([]);
      x = 0;
    }
    rows[rows.length - 1].push({ item, x });
    x += needed;
  }
  return rows;
}

function swatch({ name, color, kind = "line" }: LegendItem, x: number, y: number): string {
  const line = `<path d="M${x},${y}h22" stroke="${color}" stroke-width="2.5" stroke-linecap="butt"`;
  const marks = {
    line: `${line} />`,
    dashed: `${line} stroke-dasharray="6 3" />`,
    dotted: `${line} stroke-dasharray="${dotted}" />`,
    dot: `<circle cx="${x + 14}" cy="${y}" r="5" fill="${color}" />`,
    ring: `<circle cx="${x + 14}" cy="${y}" r="4.5" fill="white" stroke="${color}" stroke-width="2" />`,
  };
  return `${marks[kind]}${text(x + 30, y + 4.5, name, 'font-size="13"')}`;
}

const text = (x: number, y: number, content: string, attributes: string) =>
  `<text x="${x}" y="${y}" ${attributes}>${escapeXml(content)}</text>`;

/** A panel's title without its middle where it would reach into the next panel's. */
function fitted(title: string, width: number): string {
  const most = Math.floor(width / (14 * 0.56));
  return title.length <= most
    ? title
    : `${title.slice(0, Math.ceil(most / 2) - 1)}…${title.slice(-Math.floor(most / 2))}`;
}

/** No font metrics without a browser; 0.56 em is a little more than the average of common sans-serif fonts. */
const textWidth = (content: string, size: number) => content.length * size * 0.56;

export const escapeXml = (content: string) =>
  content.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

/** Two decimals in coordinates: a hundredth of a pixel is enough, and files become half as large. */
const roundNumbers = (svg: string) =>
  svg.replace(/ (d|transform|cx|cy|x|y|x1|x2|y1|y2|width|height)="[^"]*"/g, (attribute) =>
    attribute.replace(/-?\d+\.\d{3,}(e-?\d+)?/g, (number) => String(Math.round(Number(number) * 100) / 100)),
  );
