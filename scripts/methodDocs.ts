// docs/methods.md and the README's table of methods, from the recipes: `npx tsx scripts/methodDocs.ts` writes both.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { flagName } from "../src/node/options.ts";
import { recipes } from "../src/recipes/index.ts";
import type { Recipe } from "../src/recipes/recipe.ts";

const all = recipes as unknown as readonly Recipe[];
const root = join(import.meta.dirname, "..");

const camel = (name: string) => name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
const fileOf = (name: string) => `src/recipes/${camel(name)}.ts`;

/** The page of all methods. */
export function methodsPage(): string {
  const parts = all.map((recipe) => {
    const shape = z.toJSONSchema(recipe.options, { unrepresentable: "any", io: "input" }).properties ?? {};
    const rows = Object.entries(shape).map(([key, value]) => {
      const { description = "", default: fallback, enum: choices } = Object(value) as Record<string, unknown>;
      const text = Array.isArray(choices) ? `${description} (${choices.join(", ")})` : String(description);
      const shown = fallback === undefined ? "" : Array.isArray(fallback) ? "" : `\`${String(fallback)}\``;
      return `| \`--${flagName(key)}\` | ${shown} | ${text.replaceAll("|", "\\|")} |`;
    });
    const { lr, ema, images } = recipe.training;
    const flags = (values: object) =>
      Object.entries(values).map(([key, value]) =>
        typeof value === "boolean" ? `--${value ? "" : "no-"}${flagName(key)}` : `--${flagName(key)} ${value}`,
      );
    const small = Object.entries(recipe.small ?? {}).map(
      ([kind, values]) => `for ${kind} \`${flags(values).join(" ")}\``,
    );
    const { perImage, perPair } = recipe.teacherNfe(recipe.options.parse({}));
    const counted = (n: number, of: string) => `${n} evaluation${n === 1 ? "" : "s"} per ${of}`;
    const cost = [perImage > 0 && counted(perImage, "image of training"), perPair > 0 && counted(perPair, "pair")];
    return [
      `## ${recipe.name}`,
      "",
      `${recipe.summary} [${recipe.paper.cite}](${recipe.paper.url}); the page: [${camel(recipe.name)}.ts](../${fileOf(recipe.name)}).`,
      "",
      "What differs from the published method or code:",
      "",
      ...recipe.paper.differs.map((line) => `- ${line}`),
      "",
      `Asks the teacher, with these defaults: ${cost.filter(Boolean).join(", ") || "nothing"}.`,
      "",
      "| option | default | |",
      "|---|---|---|",
      ...rows,
      "",
      `Where nothing is given: \`--lr ${lr} --ema ${ema} --images ${images}\`.${small.length > 0 ? ` \`--preset small\` ${small.join(", ")}.` : ""}`,
      "",
    ].join("\n");
  });
  return [
    "# Methods",
    "",
    "What `fewstep accelerate <teacher> --method <name>` can do. This page is written from the recipes by",
    "`npx tsx scripts/methodDocs.ts`; how the methods compare is in [methods2d.md](methods2d.md) for points in the plane and in",
    "[methodsMnist.md](methodsMnist.md) for images of digits.",
    "",
    parts.join("\n").trimEnd(),
    "",
  ].join("\n");
}

/** The rows of the README's table. */
export const methodsTable = (): string =>
  [
    "| `--method` | file | paper |",
    "|---|---|---|",
    ...all.map(
      ({ name, paper }) =>
        `| \`${name}\` | [${camel(name)}.ts](${fileOf(name)}) | [${paper.cite.replace(/, section.*$/, "")}](${paper.url}) |`,
    ),
    "| `fewstep train` | [diffusion.ts](src/recipes/diffusion.ts), [flowMatching.ts](src/recipes/flowMatching.ts) | DDPM, v-prediction, flow matching |",
  ].join("\n");

/** The README with its table replaced. */
export const withTable = (readme: string): string =>
  readme.replace(/\| `--method` \| file \| paper \|\n(?:\|.*\n)*/, `${methodsTable()}\n`);

if (process.argv[1] === import.meta.filename) {
  await writeFile(join(root, "docs/methods.md"), methodsPage());
  const readme = join(root, "README.md");
  await writeFile(readme, withTable(await readFile(readme, "utf8")));
}
