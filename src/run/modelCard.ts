// README.md of a model folder: the model card that hubs read, in words that follow from card.json.
import { metricTitle } from "../figures/metricNames.ts";
import type { Card } from "./card.ts";

const list = (values: readonly unknown[]): string => `[${values.map((v) => JSON.stringify(v)).join(", ")}]`;

const isText = ({ family }: Card["network"]): boolean => family === "unet2d-condition";

/** What the front matter of a hub's model card says of every model here. */
export function frontMatter({ recipe, base, network }: Pick<Card, "recipe" | "base" | "network">): string {
  const { method, options } = recipe;
  const teacher = typeof options.teacher === "string" && base !== null ? options.teacher : undefined;
  return [
    "---",
    "library_name: fewstep",
    `pipeline_tag: ${isText(network) ? "text-to-image" : "unconditional-image-generation"}`,
    `tags: ${list(["fewstep", method, base === null ? "diffusion" : "few-step"])}`,
    ...(typeof options.data === "string" ? [`datasets: ${list([options.data])}`] : []),
    ...(teacher === undefined ? [] : [`base_model: ${JSON.stringify(teacher)}`, "base_model_relation: finetune"]),
    "---",
    "",
  ].join("\n");
}

/** The card of a folder with card.json and model.safetensors; `whole`: of a text-to-image student's folder of diffusers. */
export function modelReadme(card: Card, whole = false): string {
  const { recipe, base, sampler, form, prediction, conditioning, guidance, imagesSeen, teacherNfe, seed } = card;
  const steps = sampler.steps.join(" or ");
  const windows = form.kind === "chord" && form.windows.kind === "uniform" ? `, ${form.windows.count} windows` : "";
  const about =
    base === null
      ? `A ${recipe.method} model, trained from scratch with [fewstep](https://www.npmjs.com/package/fewstep).`
      : `A few-step student made with [fewstep](https://www.npmjs.com/package/fewstep) by the method \`${recipe.method}\`. Its teacher's weights have the SHA-256 \`${base}\`.`;
  const classes =
    conditioning.labels === 0
      ? "none"
      : `${conditioning.labels}${conditioning.nullLabel === null ? "" : `; ${conditioning.nullLabel} means "no class"`}`;
  const front = frontMatter(card);
  return `${whole ? front.replace("library_name: fewstep", "library_name: diffusers") : front}
# ${recipe.method}

${about}

| | |
|---|---|
| form | ${form.kind}${windows} |
| predicts | ${prediction.name} |
| network | ${card.network.family} |
| classes | ${classes} |
| made for | ${sampler.solver}, ${steps} steps |
| guidance | ${guidance.baked === 1 ? "none baked in" : `${guidance.baked} baked in: sample it without`} |
| images seen | ${imagesSeen.toLocaleString("en-US")} |
| teacher's evaluations | ${teacherNfe.toLocaleString("en-US")} |
| seed | ${seed} |
| fewstep | ${card.library} |

Options of training:

\`\`\`json
${JSON.stringify(recipe.options, null, 2)}
\`\`\`

## Samples

${isText(card.network) ? textSamples(whole) : plainSamples(sampler.steps[0])}`;
}

const textSamples = (whole: boolean): string => `\`\`\`sh
${
  whole
    ? 'fewstep generate <this folder> --prompt "a lighthouse at night" --out picture.png'
    : 'fewstep export <this folder> --to diffusers --base <the teacher\'s folder> --out student\nfewstep generate student --prompt "a lighthouse at night" --out picture.png'
}
\`\`\`

\`${whole ? "scheduler/scheduler_config.json" : "card.json"}\` says how it is sampled: a model that is sampled in another way than its own fails silently.
`;

const plainSamples = (steps: number): string => `\`\`\`ts
import { load } from "fewstep";

const model = await load(".");
await model.sample({ steps: ${steps}, n: 16 }).save("grid.png");
\`\`\`

or \`fewstep sample <this folder> --steps ${steps} --n 16\`. \`card.json\` holds form, prediction and sampler: a model that
is sampled in another form than its own fails silently.

## Measured

${BEGIN}
Nothing yet: \`fewstep evaluate <this folder> --data <path> --card\` puts its numbers here.
${END}
`;

const BEGIN = "<!-- what fewstep evaluate --card measured -->";
const END = "<!-- end of what was measured -->";

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
