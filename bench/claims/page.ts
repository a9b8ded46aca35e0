// docs/claims.md, from the results.
import { afterwards } from "./afterwards.ts";
import { rdTable } from "./rdTable.ts";
import type { Part, Verdict } from "./verdict.ts";

export interface Result {
  readonly id: string;
  readonly claim: string;
  readonly verdict: Verdict;
  readonly seeds: readonly number[];
  readonly budget: { readonly images: number; readonly batch: number };
  /** Samples behind every number. */
  readonly samples: number;
  readonly device: string;
  readonly library: string;
  readonly numbers: {
    readonly parts: readonly Part[];
    readonly controls: readonly Part[];
    readonly table: { readonly head: readonly string[]; readonly lines: readonly (readonly string[])[] };
  };
  readonly caveat: string;
  readonly note: string;
  /** Names of pictures in docs/images. */
  readonly pictures: readonly string[];
}

export function pageOf(results: readonly Result[]): string {
  if (results.length === 0) return unrun;
  const overview = results.map(
    ({ id, claim, verdict }) => `| [${id}](#${id.toLowerCase()}) | ${claim} | **${verdict}** |`,
  );
  return `${intro(results)}
| | claim | here |
|---|---|---|
${overview.join("\n")}

${disagreement(results)}
${rdTable(results)}
${results.map(section).join("\n")}`;
}

const grouped = (n: number) => n.toLocaleString("en-US");

const unrun = "# Who is right\n\nNothing was run yet: `npm run claims`.\n";

function intro(results: readonly Result[]): string {
  const [one] = results;
  const { budget, samples, seeds, device } = one;
  return `# Who is right: the two papers' claims in the plane

PeRFlow and Rectified Diffusion disagree. Here fourteen claims of theirs, each as a plan for [\`fewstep compare\`](compare.md): methods
under one budget (${grouped(budget.images)} images in batches of ${budget.batch}) from one teacher per seed (seeds ${seeds.join(", ")}), measured alike
by the sliced Wasserstein distance of ${grouped(samples)} samples to points that nobody was trained on, and, called endpoint, by the rms distance
to where the teacher's 50 steps end from the same noise. Made by \`npm run claims\` (\`npm run claims -- C7\` does one alone) on ${device}; the
numbers, seed by seed, are in [bench/claims/results](../bench/claims/results).

Budget, seeds and rules were set before anything was run. "a is nearer than b" holds where the 95 % interval (Student's t over the
seeds) of the mean of ln(b/a) lies above 0, does not hold where it lies below, and is undecided where it contains 0; a limit has to be kept
in every seed, and fails where it is kept in none. A claim holds where all of its parts do, and does not where one does not. Controls have
no say in the verdict: they look at what else could explain it. With three seeds intervals are wide: "undecided" says that these runs cannot
tell.

This is a plane with two moons and networks of a few thousand weights, not Stable Diffusion: what holds here is about the methods'
mathematics, and what does not hold here may need images, guidance or scale.
`;
}

function disagreement(results: readonly Result[]): string {
  const c1 = results.find(({ id }) => id === "C1");
  const c7 = results.find(({ id }) => id === "C7");
  if (!c1 || !c7) return "";
  const ratio = ({ numbers: { ratio, interval } }: Part) => `${ratio} (${(interval as number[]).join(" to ")})`;
  const [rf] = c1.numbers.parts;
  const snr = c1.numbers.controls[0];
  const [pathEps, pathEnd, lossChord, lossFirst] = c7.numbers.controls;
  return `## Where the papers disagree

Rectified Diffusion says that straight paths are not what helps, retraining on the teacher's pairs is; PeRFlow makes paths straight, window
by window. At one step, and with 95 % intervals, rectified flow's distance to the data is ${ratio(rf)} times Rectified Diffusion's where its
network has to learn a new form and a new prediction, and ${ratio(snr)} times where it keeps both and is only asked at equal SNR. The
difference between the two numbers is not straightness. In four windows and at four steps the distance of the chord is ${ratio(pathEps)}
times that of the first-order path with the loss in eps, and ${ratio(pathEnd)} times with the loss at the window's end. At equal path,
the distance with the loss in eps is ${ratio(lossChord)} times that with the loss at the window's end on the chord, and ${ratio(lossFirst)} times on
the first-order path. Where an interval contains 1, these runs do not tell the two apart.
`;
}

function section({ id, claim, verdict, caveat, note, numbers, pictures }: Result): string {
  const { head, lines } = numbers.table;
  const later = afterwards[id];
  return `## ${id}

**${claim}** Here: **${verdict}**.

${caveat} ${note}
${later ? `\nLooked at afterwards: ${later}\n` : ""}
| | ratio [95 % interval], or each seed | |
|---|---|---|
${[...numbers.parts, ...numbers.controls].map(partLine).join("\n")}

| ${head.join(" | ")} |
|${head.map(() => "---").join("|")}|
${lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n")}

${pictures.map((name) => `![${id}](images/${name}.png)`).join("\n")}
`;
}

function partLine({ says, verdict, numbers }: Part): string {
  const { ratio, interval, values, limit } = numbers as Record<string, unknown>;
  const shown =
    ratio === undefined
      ? `${(values as number[]).map((v) => Number(v).toPrecision(3)).join(", ")} (limit ${String(limit)})`
      : `${String(ratio)} [${(interval as number[]).join(", ")}]`;
  return `| ${says} | ${shown} | ${verdict} |`;
}
