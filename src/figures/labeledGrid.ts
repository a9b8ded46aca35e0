// Pictures side by side, each with a line of text below.
import { escapeXml } from "./sheet.ts";

export interface LabeledPicture {
  readonly label: string;
  /** A PNG or JPEG as a data URL. */
  readonly href: string;
  readonly width: number;
  readonly height: number;
}

const font = "system-ui, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif";
const gap = 8;
const line = 22;
const title = 34;

/** An SVG with the pictures inside, about as many in a row as there are rows. All are of the first one's size. */
export function labeledGrid(heading: string, pictures: readonly LabeledPicture[]): string {
  if (pictures.length === 0) throw new RangeError("A grid has no pictures, expected at least one.");
  const [{ width: w, height: h }] = pictures;
  const columns = Math.ceil(Math.sqrt(pictures.length));
  const rows = Math.ceil(pictures.length / columns);
  // A label is never wider than its cell: letters are about 7 wide.
  const cell = Math.max(w, ...pictures.map(({ label }) => 7 * label.length));
  const width = columns * (cell + gap) + gap;
  const height = title + rows * (h + line + gap) + gap;
  const shown = heading.length * 8 > width - 2 * gap ? `${heading.slice(0, Math.floor(width / 8) - 4)}…` : heading;
  const parts = pictures.map(({ label, href }, i) => {
    const x = gap + (i % columns) * (cell + gap);
    const y = title + Math.floor(i / columns) * (h + line + gap);
    return `<image x="${x}" y="${y}" width="${w}" height="${h}" href="${href}" /><text x="${x}" y="${y + h + 15}" font-size="12">${escapeXml(label)}</text>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="${font}">`,
    `<rect width="${width}" height="${height}" fill="white" />`,
    `<text x="${gap}" y="22" font-size="14" font-weight="600">${escapeXml(shown)}</text>`,
    ...parts,
    "</svg>\n",
  ].join("\n");
}
