// Reports of evaluations and comparisons, what a comparison keeps of its runs, and its plan.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { readPlan } from "../../src/node/compare/plan.ts";
import { problemsOf } from "../../src/node/compare/planSchema.ts";
import { finishedSchema, numbersSchema, storedIn } from "../../src/node/compare/stored.ts";
import { claimReport } from "../../src/node/reportFolder.ts";
import type { Json } from "../mutate.ts";
import * as mutate from "../mutate.ts";
import { inFolder } from "../scratch.ts";
import { difference, type Target, utf8 } from "../target.ts";
import { jsonInput, read } from "./configs.ts";

const files = ["frechet.svg", "frechet.png", "samples.png"];
const others = [...files, "notes.txt", "endpoint.svg", ".report-0123abcd", ".DS_Store", "report.html"];

const reportFolder = async (): Promise<Target> => ({
  make(rng) {
    const report: Json = { software: "fewstep", files, options: { n: 100 }, results: [] };
    const there = others.filter((name) => rng.chance(files.includes(name) ? 0.8 : 0.15));
    return { "report.json": jsonInput(rng, [report]).file, there: utf8(there.join(" ")) };
  },
  read(input) {
    const there = new TextDecoder().decode(input.there).split(" ").filter(Boolean);
    const empty = Object.fromEntries(there.map((name) => [name, new Uint8Array()]));
    return inFolder({ ...empty, "report.json": input["report.json"] }, async (folder) => {
      const ours = await claimReport(folder, false);
      let report: Record<string, unknown> = {};
      try {
        report = Object(JSON.parse(new TextDecoder().decode(input["report.json"]))) as typeof report;
      } catch {}
      const listed = report.software === "fewstep" && Array.isArray(report.files) ? report.files.map(String) : [];
      const stray = readdirSync(folder).find(
        (name) => !listed.includes(name) && name !== "report.json" && !/^\.(report-[0-9a-f]{8}|DS_Store)$/.test(name),
      );
      if (stray !== undefined) return `${stray} is no part of the report, and was taken for one`;
      const outside = ours.find((name) => !readdirSync(folder).includes(name));
      return outside === undefined ? undefined : `${join(folder, outside)} is not there`;
    });
  },
});

const numbers: Json = {
  at: [{ steps: 2, nfe: 4, seconds: 0.1, values: { frechet: { value: 3.5, n: 100, floor: 0.2, notes: ["few"] } } }],
  flow: { straightness: 0.2, firstOrder: null },
  steps: [{ steps: 2, straightness: null, firstOrder: 0.5 }],
  notes: [],
};
const finished: Json = { images: 6400, teacherEvaluations: 12800, seconds: 3.25 };

const measured = async (): Promise<Target> => ({
  make: (rng) => jsonInput(rng, [numbers, finished]),
  read(input) {
    const value = read(input);
    const isRun = typeof value === "object" && value !== null && "images" in value;
    const found = storedIn(value, "numbers.json", isRun ? finishedSchema : numbersSchema);
    const keys = Object.keys(found);
    const given = Object(value) as Record<string, unknown>;
    return lost(found, Object.fromEntries(keys.map((key) => [key, given[key]])), "it");
  },
});

/** Every number and text that was read is the one that was given; keys that nobody reads may be left out. */
function lost(found: unknown, given: unknown, path: string): string | undefined {
  if (typeof found !== "object" || found === null) return difference(found, given, path);
  for (const [key, value] of Object.entries(found)) {
    const wrong = lost(value, (Object(given) as Record<string, unknown>)[key], `${path}.${key}`);
    if (wrong) return wrong;
  }
  return undefined;
}

const plans: readonly Json[] = [
  {
    title: "two",
    data: "toy:moons",
    teacher: { train: { images: 1000, network: "mlp", width: 16, depth: 1 } },
    methods: ["perflow", { method: "reflow", name: "twice", options: { rounds: 2, pairs: 256 }, steps: [1] }],
    budget: { images: 6400 },
    seeds: [0, 1],
    steps: [1, 4],
    metrics: ["sliced-wasserstein", "endpoint"],
    n: 500,
  },
  {
    data: "data",
    teacher: "exact:data?width=0.1",
    student: "fresh?width=32",
    preset: "small",
    methods: [{ method: "consistency", guidance: 1.5, options: { lr: 0.001 } }],
    options: { batch: 32 },
    budget: { minutes: 0.5 },
    steps: [2],
    features: "none",
    curve: 0,
    pathSteps: 0,
  },
  {
    data: "toy:rings",
    teacher: "teacher",
    methods: ["dmd", "lcm", "progressive"],
    budget: { images: 64000, teacherEvaluations: 1000000 },
    steps: [4],
  },
];
const plan = async (): Promise<Target> => ({
  // All that is wrong with a plan is said at once.
  longest: 4000,
  make(rng) {
    const input = jsonInput(rng, plans);
    return rng.chance(0.05) ? { file: mutate.bytes(rng, input.file) } : input;
  },
  read(input) {
    const value = Object(read(input)) as Record<string, unknown>;
    const { plan: found, entries, problems } = readPlan(value, "plan.json");
    if (problems.length > 0) throw problemsOf("plan.json", problems);
    const given = Object.fromEntries(Object.entries(value).filter(([key]) => key !== "methods"));
    const same = Object.fromEntries(Object.keys(given).map((key) => [key, (found as Record<string, unknown>)[key]]));
    const asked = (value.methods as Json[]).map((entry) => (typeof entry === "string" ? { method: entry } : entry));
    return difference(same, given, "the plan") ?? lost(asked, entries, "methods");
  },
});

export const reportFiles = { reportFolder, measured, plan };
