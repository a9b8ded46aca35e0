// Files that leave the page.
import { strToU8, zipSync } from "fflate";

export type Files = Readonly<Record<string, string | Uint8Array>>;

/** A folder as a zip. */
export function zipOf(files: Files): Uint8Array {
  const bytes = Object.entries(files).map(([name, content]): [string, Uint8Array] => [
    name,
    typeof content === "string" ? strToU8(content) : content,
  ]);
  return zipSync(Object.fromEntries(bytes), { level: 6 });
}

/** Two columns with a head. */
export const csvOf = (points: Float32Array): string =>
  `x,y\n${Array.from({ length: points.length / 2 }, (_, i) => `${points[2 * i]},${points[2 * i + 1]}`).join("\n")}\n`;

export function download(name: string, content: Blob | Uint8Array | string): void {
  const blob = content instanceof Blob ? content : new Blob([content as BlobPart]);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
