// npm run claims -- [C1 C2 …]: runs what is missing for the claims, and writes bench/claims/results/C<n>.json, docs/claims.md
// and its pictures. Runs are kept in runs/claims, so it can be stopped and goes on.
import { existsSync } from "node:fs";
import { copyFile, mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeAtomic } from "../../src/node/atomic.ts";
import { tableOf } from "../../src/node/compare/report.ts";
import { type Compared, comparePlan } from "../../src/node/compare.ts";
import type { Context } from "../../src/node/context.ts";
import { writeJson } from "../../src/node/files.ts";
import { silent } from "../../src/node/reporter.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { version } from "../../src/version.ts";
import type { Claim, Found } from "./claim.ts";
import { claims } from "./claims.ts";
import { matchedForms, shuffledPairs } from "./extras.ts";
import { at } from "./measured.ts";
import { pageOf, type Result } from "./page.ts";
import { common, IMAGES, named, planOf, RD } from "./plans.ts";
import { sane, settled } from "./verdict.ts";

const RUNS = "runs/claims";
const RESULTS = "bench/claims/results";
const PICTURES = "docs/images";
/** Claims whose curves, and whose samples, are shown too. */
const withCurves = new Set(["C2", "C6", "C10"]);
const withSamples = new Set(["C1", "C7", "C12"]);
const context: Context = {
  report: silent,
  runtime: nodeRuntime({ threads: 1 }),
  signal: new AbortController().signal,
  seed: 0,
};
const say = (text: string) => process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${text}\n`);

async function run(plan: Claim["plans"][number], more: object = {}, suffix = ""): Promise<Compared> {
  const json = { ...planOf(plan), ...more };
  const out = `${RUNS}/report-${plan.title}${suffix}`;
  return comparePlan(json, { file: plan.title, out, runs: RUNS, force: false }, context);
}

async function foundFor(claim: Claim): Promise<Found> {
  const compared = [];
  for (const plan of claim.plans) compared.push(await run(plan));
  if (claim.extra === "matched") return { compared, extra: { apart: await matchedForms(context) } };
  if (claim.extra === "shuffled") {
    const [first] = compared;
    const folders = await shuffledPairs(first, RUNS);
    for (const [i, folder] of folders.entries()) {
      const methods = [named(RD, "RD, shuffled pairs", { options: { ...RD.options, "pairs-dir": folder } })];
      compared.push(await run(claim.plans[0], { methods, seeds: [first.plan.seeds[i]] }, `-shuffled-${i}`));
    }
  }
  return { compared };
}

async function settle(claim: Claim): Promise<Result> {
  const found = await foundFor(claim);
  const [parts, controls] = [claim.parts(found), claim.controls(found)];
  const [first] = found.compared;
  const teacher = sane(at(first, "teacher", common.teacherSteps));
  const rows = found.compared.flatMap(({ rows }) => rows);
  return {
    id: claim.id,
    claim: claim.says,
    verdict: settled(teacher, parts),
    seeds: [...first.plan.seeds],
    budget: { images: IMAGES, batch: common.options.batch },
    samples: common.n,
    device: `${context.runtime.device}, 1 thread`,
    library: version,
    numbers: { teacher, parts, controls, table: tableOf(rows, common.metrics) },
    caveat: claim.caveat,
    note: claim.note,
    pictures: await pictures(claim),
  };
}

/** Copies the pictures of a claim's first plan beside the page. */
async function pictures({ id, plans: [plan] }: Claim): Promise<string[]> {
  const names = [
    "sliced-wasserstein",
    ...(withCurves.has(id) ? ["curves"] : []),
    ...(withSamples.has(id) ? ["samples"] : []),
  ];
  await mkdir(PICTURES, { recursive: true });
  for (const name of names)
    await copyFile(join(RUNS, `report-${plan.title}`, `${name}.png`), join(PICTURES, `claims-${id}-${name}.png`));
  return names.map((name) => `claims-${id}-${name}`);
}

const asked = process.argv.slice(2);
const unknown = asked.filter((id) => !claims.some((claim) => claim.id === id));
if (unknown.length > 0)
  throw new Error(`There is no claim ${unknown.join(", ")}; there are ${claims.map(({ id }) => id).join(", ")}.`);
// Those whose runs are followed over training come first: what they keep serves the others.
const first = (claim: Claim) => (claim.plans.some(({ curve }) => curve) ? 0 : 1);
const todo = claims.filter(({ id }) => asked.length === 0 || asked.includes(id)).sort((a, b) => first(a) - first(b));
for (const claim of todo) {
  say(`${claim.id} …`);
  try {
    const result = await settle(claim);
    await writeJson(join(RESULTS, `${claim.id}.json`), result);
    say(`${claim.id}: ${result.verdict}`);
  } catch (error) {
    process.exitCode = 1;
    say(`${claim.id}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
const results: Result[] = [];
for (const { id } of claims) {
  const file = join(RESULTS, `${id}.json`);
  if (existsSync(file)) results.push(JSON.parse(await readFile(file, "utf8")) as Result);
}
await writeAtomic("docs/claims.md", pageOf(results));
