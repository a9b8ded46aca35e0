// A comparison as one page that opens from disk: nothing outside the file is asked for.
import { escapeXml } from "../../figures/sheet.ts";
import { version } from "../../version.ts";
import type { Plan } from "./planSchema.ts";
import type { Figure, Table } from "./report.ts";

export interface HtmlReport {
  readonly plan: Plan;
  readonly table: Table;
  readonly figures: readonly (Figure & { readonly png?: Uint8Array })[];
  readonly notes: readonly string[];
  readonly device: string;
}

const style = `
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #8884; text-align: right; white-space: nowrap }
th:first-child, td:first-child { text-align: left }
figure { margin: 1rem 0; background: white; padding: .5rem; overflow-x: auto }
figure img, figure svg { max-width: 100%; height: auto }
pre { overflow-x: auto; background: #8882; padding: 1rem }
`;

export function htmlReport({ plan, table, figures, notes, device }: HtmlReport): string {
  const { budget, seeds, n, teacher } = plan;
  const asked =
    budget.minutes !== undefined
      ? `${budget.minutes} minutes each`
      : `${budget.images?.toLocaleString("en-US")} images each${
          budget.teacherEvaluations === undefined
            ? ""
            : `, at most ${budget.teacherEvaluations.toLocaleString("en-US")} evaluations of the teacher, those of pairs among them`
        }`;
  const facts = [
    `Budget: ${asked}.`,
    `Teacher: ${typeof teacher === "string" ? teacher : "trained from each seed"}. Data: ${plan.data}.`,
    `${n.toLocaleString("en-US")} samples per number; seeds ${seeds.join(", ")}${seeds.length > 1 ? " (mean ± standard deviation)" : ""}; on ${device}.`,
    "NFE are network evaluations per sample. Straightness and first-orderness are 0 for a path that one step follows, along the model's own flow.",
  ];
  const cells = (tag: string, line: readonly string[]) =>
    `<tr>${line.map((cell) => `<${tag}>${escapeXml(cell)}</${tag}>`).join("")}</tr>`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="generator" content="fewstep ${version}">
<title>${escapeXml(plan.title)}</title>
<style>${style}</style>
</head>
<body>
<h1>${escapeXml(plan.title)}</h1>
${facts.map((fact) => `<p>${escapeXml(fact)}</p>`).join("\n")}
<div class="wide"><table>
<thead>${cells("th", table.head)}</thead>
<tbody>
${table.lines.map((line) => cells("td", line)).join("\n")}
</tbody></table></div>
${notes.map((note) => `<p>${escapeXml(note)}</p>`).join("\n")}
${figures.map(({ title, svg, png }) => `<h2>${escapeXml(title)}</h2>\n<figure>${png ? image(title, png) : svg}</figure>`).join("\n")}
<h2>Plan</h2>
<pre>${escapeXml(JSON.stringify(plan, null, 2))}</pre>
</body>
</html>
`;
}

const image = (title: string, png: Uint8Array): string =>
  `<img alt="${escapeXml(title)}" src="data:image/png;base64,${Buffer.from(png).toString("base64")}">`;
