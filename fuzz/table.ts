// What became of the inputs, as a table of Markdown.
import { verdicts } from "./judge.ts";
import type { Row } from "./run.ts";

const grouped = (n: number) => n.toLocaleString("en-US");

export function table(rows: readonly Row[]): string {
  const sum = (of: (row: Row) => number) => rows.reduce((total, row) => total + of(row), 0);
  const line = (name: string, inputs: number, counts: readonly number[]) =>
    `| ${[name, inputs, ...counts].map((v) => (typeof v === "number" ? grouped(v) : v)).join(" | ")} |`;
  return [
    `| parser | inputs | ${verdicts.join(" | ")} |`,
    `|---|${"---:|".repeat(1 + verdicts.length)}`,
    ...rows.map(({ parser, inputs, counts }) =>
      line(
        parser,
        inputs,
        verdicts.map((v) => counts[v]),
      ),
    ),
    line(
      "**all**",
      sum(({ inputs }) => inputs),
      verdicts.map((v) => sum(({ counts }) => counts[v])),
    ),
    "",
  ].join("\n");
}
