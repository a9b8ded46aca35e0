// docs/claims.md, from the results.
import { copyFile, mkdir } from "node:fs/promises";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Part, Verdict } from "./verdict.ts";

export interface Result {
  readonly id: string;
  readonly claim: string;
  readonly verdict: Verdict;
  readonly seeds: readonly number[];
  readonly budget: object;
  readonly device: string;
  readonly library: string;
  readonly numbers: {
    readonly parts: readonly Part[];
    readonly controls: readonly Part[];
    readonly table: { readonly head: readonly string[]; readonly lines: readonly (readonly string[])[] };
  };
  readonly caveat: string;
  readonly note: string;
}

/** The page; pictures of the comparisons are copied beside it. */
export async function pageOf(results: readonly Result[], runs: string): Promise<string> {
  await mkdir("docs/images/claims", { recursive: true });
  const pictures = new Map<string, string[]>();
  for (const { id } of results) {
    const found = [];
    for (const name of ["sliced-wasserstein", "curves", "samples"]) {
      const from = join(runs, `report-${id}`, `${name}.png`);
      const to = `images/claims/${id}-${name}.png`;
      if (existsSync(from)) await copyFile(from, join("docs", to));
      if (existsSync(join("docs", to)) && (name !== "samples" || withSamples.has(id))) found.push(to);
    }
    pictures.set(id, found);
  }
  const overview = results.map(({ id, claim, verdict }) => `| [${id}](#${id.toLowerCase()}) | ${claim} | ${verdict} |`);
  return `${intro}
| | claim | verdict |
|---|---|---|
${overview.join("\n")}

${disagreement(results)}
${results.map((result) => section(result, pictures.get(result.id) ?? [])).join("\n")}`;
}

/** Claims whose samples are shown too. */
const withSamples = new Set(["C1", "C7", "C12"]);

const intro = `# Who is right: the two papers' claims in the plane

Made by \`npm run claims\`; the numbers are in [bench/claims/results](../bench/claims/results), and \`npm run claims -- C7\` does
one claim alone. Each claim is a plan for \`fewstep compare\`: methods under one budget from one teacher per seed, measured alike
by the sliced Wasserstein distance of 2,000 samples to points that nobody has seen. The budget and three seeds were set
before anything was run, and so were the rules: "a is nearer than b" holds where the 95 % interval (Student's t, over seeds) of
ln(b/a) lies above 0, does not hold where it lies below, and is undecided where it contains 0. A claim holds where all of its
parts do, and does not where one does not. With three seeds intervals are wide; "undecided" says that these runs cannot tell.

This is a plane with two moons and a network of a few thousand weights, not Stable Diffusion: what holds here is about the
methods' mathematics, and what does not hold here may need images, guidance or scale.
`;

function disagreement(results: readonly Result[]): string {
  const c1 = results.find(({ id }) => id === "C1");
  const c7 = results.find(({ id }) => id === "C7");
  if (!c1 || !c7) return "";
  const ratio = (part: Part | undefined) => String(part?.numbers.ratio ?? "–");
  const [rf] = c1.numbers.parts;
  const [snr] = c1.numbers.controls;
  const [pathEps, pathEnd, lossChord, lossFirst] = c7.numbers.controls;
  return `## Where the papers disagree

Rectified Diffusion says that straight paths are not what helps, retraining on the teacher's pairs is; PeRFlow makes paths
straight, window by window. Measured at one step, rectified flow's distance to the data is ${ratio(rf)} times Rectified
Diffusion's where its network has to learn a new form and a new prediction, and ${ratio(snr)} times where it stays as it is and is
only asked at equal SNR. In windows, at four steps and equal loss, the distance of the chord is ${ratio(pathEps)} times that
of the first-order path with the loss in eps, and ${ratio(pathEnd)} times with the loss at the window's end; at equal path, the
distance with the loss in eps is ${ratio(lossChord)} times that with the loss at the window's end on the chord, and ${ratio(lossFirst)}
times on the first-order path. The intervals stand below: where one contains 1, these runs do not tell the two apart.
`;
}

function section({ id, claim, verdict, caveat, note, numbers, seeds, budget, device }: Result, images: readonly string[]): string {
  const { head, lines } = numbers.table;
  const line = (part: Part) => {
    const { ratio, interval, values, limit } = part.numbers as Record<string, unknown>;
    const shown =
      ratio === undefined
        ? `${(values as number[]).map((v) => Number(v).toPrecision(3)).join(", ")} (limit ${String(limit)})`
        : `${String(ratio)} [${(interval as number[]).join(", ")}]`;
    return `| ${part.says} | ${shown} | ${part.verdict} |`;
  };
  return `## ${id}

**${claim}** Verdict: **${verdict}**.

${caveat} ${note}

| | ratio [95 % interval], or each seed | |
|---|---|---|
${[...numbers.parts, ...numbers.controls].map(line).join("\n")}

| ${head.join(" | ")} |
|${head.map(() => "---").join("|")}|
${lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n")}

Seeds ${seeds.join(", ")}; budget ${Object.entries(budget).map(([k, v]) => `${k} ${Number(v).toLocaleString("en-US")}`).join(", ")}; ${device}.

${images.map((path) => `![${id}](${path})`).join("\n")}
`;
}
