// The numbers of an evaluation in a model's README.md: a table for people, and "model-index" for hubs.
import { metricTitle } from "../figures/metricNames.ts";
import { BEGIN, END } from "../run/modelCard.ts";

/** What an evaluation says of a model. */
export interface CardMetrics {
  readonly model: string;
  readonly data: string;
  readonly seed: number;
  readonly guidance: number;
  readonly rows: readonly {
    readonly steps: number;
    readonly nfe: number;
    readonly n: number;
    readonly values: Readonly<Record<string, { readonly value: number; readonly standardError?: number }>>;
  }[];
}

/** The README with these numbers in place of earlier ones, also for hubs; undefined where it has no place for them. */
export function withMetrics(readme: string, { model, data, seed, guidance, rows }: CardMetrics): string | undefined {
  const [from, to] = [readme.indexOf(BEGIN), readme.indexOf(END)];
  const head = /^---\n([\s\S]*?)\n---\n/.exec(readme);
  if (from < 0 || to < from || !head) return undefined;
  const names = [...new Set(rows.flatMap(({ values }) => Object.keys(values)))];
  const cell = (value: { readonly value: number; readonly standardError?: number } | undefined) =>
    value === undefined
      ? "–"
      : `${value.value.toPrecision(3)}${value.standardError === undefined ? "" : ` ± ${value.standardError.toPrecision(1)}`}`;
  const table = [
    `Against ${data}, seed ${seed}${guidance === 1 ? "" : `, guidance ${guidance}`}:`,
    "",
    `| steps | NFE | samples | ${names.map((name) => metricTitle(name).short).join(" | ")} |`,
    `|${"---|".repeat(3 + names.length)}`,
    ...rows.map(
      ({ steps, nfe, n, values }) => `| ${[steps, nfe, n, ...names.map((name) => cell(values[name]))].join(" | ")} |`,
    ),
  ].join("\n");
  const index = [
    "model-index:",
    `- name: ${JSON.stringify(model)}`,
    "  results:",
    ...rows.flatMap(({ steps, values }) => [
      "  - task:",
      "      type: unconditional-image-generation",
      "    dataset:",
      `      name: ${JSON.stringify(data)}`,
      `      type: ${JSON.stringify(data)}`,
      "    metrics:",
      ...Object.entries(values).flatMap(([name, { value }]) => [
        `    - type: ${name}`,
        `      name: ${JSON.stringify(`${metricTitle(name).long}, ${steps} step${steps === 1 ? "" : "s"}`)}`,
        `      value: ${value}`,
      ]),
    ]),
  ].join("\n");
  const own = head[1].replace(/\nmodel-index:\n(?:[ -].*(?:\n|$))*/, "\n").trimEnd();
  const rest = readme.slice(head[0].length);
  const [a, b] = [rest.indexOf(BEGIN), rest.indexOf(END)];
  return `---\n${own}\n${index}\n---\n${rest.slice(0, a)}${BEGIN}\n${table}\n${rest.slice(b)}`;
}
