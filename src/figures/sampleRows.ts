// Rows of pictures with a name before each: teacher and student from the same noise.
import { escapeXml } from "./sheet.ts";

export interface SampleRow {
  readonly label: string;
  /** A PNG with the row's pictures side by side. */
  readonly png: Uint8Array;
  readonly width: number;
  readonly height: number;
}

export interface SampleRows {
  readonly title: string;
  readonly subtitle?: string;
  readonly rows: readonly SampleRow[];
}

/** Room for the names, by the longest. */
const roomFor = (rows: readonly SampleRow[]) => 40 + 7.2 * Math.max(16, ...rows.map(({ label }) => label.length));
const font = "system-ui, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif";

/** An SVG with the pictures inside. */
export function sampleRows({ title, subtitle, rows }: SampleRows): string {
  const labels = roomFor(rows);
  const width = labels + Math.max(...rows.map((row) => row.width)) + 20;
  const parts: string[] = [`<text x="16" y="32" font-size="18" font-weight="600">${escapeXml(title)}</text>`];
  let y = 44;
  if (subtitle) {
    parts.push(`<text x="16" y="${y + 12}" font-size="13" fill="#71717a">${escapeXml(subtitle)}</text>`);
    y += 26;
  }
  for (const row of rows) {
    parts.push(
      `<text x="16" y="${y + row.height / 2 + 5}" font-size="14">${escapeXml(row.label)}</text>`,
      `<image x="${labels}" y="${y}" width="${row.width}" height="${row.height}" href="data:image/png;base64,${base64(row.png)}" />`,
    );
    y += row.height + 4;
  }
  const height = y + 12;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="${font}">`,
    `<rect width="${width}" height="${height}" fill="white" />`,
    ...parts,
    "</svg>\n",
  ].join("\n");
}

function base64(bytes: Uint8Array): string {
  let text = "";
  for (const b of bytes) text += String.fromCharCode(b);
  return btoa(text);
}
