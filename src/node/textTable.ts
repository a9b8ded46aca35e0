// A table for terminals: words to the left, numbers to the right.

/** The first column is words; others of which every cell starts with a digit, a sign or a dash go to the right. */
export function textTable(header: readonly string[], lines: readonly (readonly string[])[]): string {
  const all = [header, ...lines];
  const widths = header.map((_, c) => Math.max(...all.map((line) => line[c].length)));
  const right = header.map((_, c) => c > 0 && lines.every((line) => /^[-–+]?\d|^–$/.test(line[c])));
  const show = (line: readonly string[]) =>
    line
      .map((cell, c) => (right[c] ? cell.padStart(widths[c]) : cell.padEnd(widths[c])))
      .join("  ")
      .trimEnd();
  return [show(header), widths.map((width) => "-".repeat(width)).join("  "), ...lines.map(show)].join("\n");
}
