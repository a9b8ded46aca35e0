// Which sampler a name means, with its configuration, steps and guidance where nothing is said.
import { someOf } from "../../data/tensorIndex.ts";
import { createScheduler, type SchedulerConfig, schedulerNames } from "../../diffusers/schedulers/index.ts";
import { type MadeFor, STUDENT_KEY } from "../../diffusers/textStudent.ts";
import { type Solver, solvers } from "../../solvers/index.ts";
import { UsageError, usage } from "../failure.ts";
import { readJson } from "../files.ts";
import type { GenerateOptionsGiven } from "./options.ts";

export interface ChosenSampler {
  /** As it is said in messages and pictures. */
  readonly name: string;
  readonly config: SchedulerConfig;
  readonly solver?: Solver;
  readonly steps: number;
  readonly guidance: number;
}

type Asked = Pick<
  GenerateOptionsGiven,
  "sampler" | "scheduler" | "prediction" | "windows" | "steps" | "guidance" | "noise"
>;

/** "EulerAncestralDiscreteScheduler" is euler-ancestral, "DPMSolverMultistepScheduler" dpm-solver-multistep. */
const shortName = (name: string): string =>
  name
    .replace(/(Discrete)?Scheduler$/, "")
    .replace("PeRFlow", "Perflow")
    .replace("UniPC", "Unipc")
    .replace("EDM", "Edm")
    .replace("DPMSolver", "DpmSolver")
    .replace("EDM", "Edm")
    .replace(/([a-z])([A-Z])/g, "$1-$2")
    .toLowerCase();

const shortNames: ReadonlyMap<string, string> = new Map(schedulerNames.map((name) => [shortName(name), name]));

/** Every name that --sampler takes. */
export const samplerNames = (): string[] => [
  ...shortNames.keys(),
  ...solvers.map(({ name }) => name).filter((name) => !shortNames.has(name)),
];

const perflowPredictions = ["ddim_eps", "diff_eps", "velocity"];

/** Throws UsageError for names, predictions and steps that do not go together, an Error for a scheduler's file that is none. */
export async function chooseSampler(folders: SchedulerConfig, o: Asked): Promise<ChosenSampler> {
  const own = o.scheduler === undefined ? folders : await schedulerFile(o.scheduler);
  const given = String(own._class_name);
  const { className, solver } = o.sampler === undefined ? { className: given } : named(o.sampler);
  const name = className ?? given;
  const config: Record<string, unknown> = { ...own, _class_name: name };
  if (o.prediction !== undefined) config.prediction_type = o.prediction;
  const perflow = name === "PeRFlowScheduler";
  if (o.windows !== undefined) {
    if (!perflow)
      throw new UsageError(`--windows is of PeRFlow, but the sampler is ${solver?.name ?? shortName(name)}.`);
    config.num_time_windows = o.windows;
  }
  if (perflow) config.num_time_windows ??= 4;
  checkPrediction(config, perflow, given, o.prediction);
  checkKind(name, given, o.sampler);
  const consistency = name === "LCMScheduler" || name === "TCDScheduler" || solver?.kind === "consistency";
  const windows = Number(config.num_time_windows);
  const made = o.sampler === undefined ? madeFor(own) : {};
  const steps = o.steps ?? made.steps ?? (perflow ? windows : consistency ? 4 : Math.max(25, solver?.minSteps ?? 1));
  if (perflow && steps < windows)
    throw new UsageError(`--steps is ${steps}, but this student has ${windows} windows and takes a step in each.`);
  // What the configuration does not allow is said before anything is loaded.
  if (!solver) usage(() => createScheduler(config, steps));
  return {
    name: solver?.name ?? shortName(name),
    config,
    ...(solver ? { solver } : {}),
    steps,
    guidance: o.guidance ?? made.guidance ?? (perflow ? 4.5 : consistency ? 1 : 7.5),
  };
}

/** What a student's folder says of its sampling, where that makes sense. */
function madeFor({ [STUDENT_KEY]: said }: SchedulerConfig): Partial<MadeFor> {
  const { steps, guidance } = Object(said) as Readonly<Record<string, unknown>>;
  return {
    ...(typeof steps === "number" && Number.isInteger(steps) && steps > 0 && steps <= 10_000 ? { steps } : {}),
    ...(typeof guidance === "number" && Math.abs(guidance) <= 1000 ? { guidance } : {}),
  };
}

async function schedulerFile(file: string): Promise<SchedulerConfig> {
  const config = await readJson(file);
  if (typeof config !== "object" || config === null || !("_class_name" in config))
    throw new Error(`${file} has no "_class_name", expected a scheduler_config.json.`);
  return Object.fromEntries(Object.entries(config));
}

/** A scheduler's class, or a solver: schedulers come first where both have the name. */
function named(text: string): { readonly className?: string; readonly solver?: Solver } {
  const low = text.toLowerCase();
  const className = shortNames.get(low) ?? schedulerNames.find((name) => name.toLowerCase() === low);
  if (className) return { className };
  const solver = solvers.find(({ name }) => name.toLowerCase() === low);
  if (solver) return { solver };
  throw new UsageError(
    `--sampler is ${JSON.stringify(text.slice(0, 80))}: expected one of ${samplerNames().join(", ")}.`,
  );
}

function checkPrediction(config: SchedulerConfig, perflow: boolean, given: string, asked: string | undefined): void {
  const type = String(config.prediction_type ?? "epsilon");
  if (!perflow) {
    if (perflowPredictions.includes(type))
      throw new UsageError(
        `This is a PeRFlow student that predicts ${type}: sample it with --sampler perflow, or say what it predicts to another sampler with --prediction.`,
      );
    return;
  }
  if (given !== "PeRFlowScheduler" && asked === undefined)
    throw new UsageError(
      `--sampler perflow needs --prediction, which the folder's ${given} does not say: diff_eps for PeRFlow's SD 1.5, ddim_eps for its SDXL, velocity for its SD 2.1.`,
    );
  if (!perflowPredictions.includes(type))
    throw new UsageError(`--prediction is ${type}, expected one of ${someOf(perflowPredictions)} for PeRFlow.`);
}

/** Noise schedules of another kind: a sampler for one makes noise of the other's model, without an error. */
const kindOf = (name: string): string =>
  name.startsWith("FlowMatch") ? "flow matching" : name.startsWith("EDM") ? "EDM" : "a table of betas";

function checkKind(name: string, given: string, asked: string | undefined): void {
  if (asked === undefined || kindOf(name) === kindOf(given)) return;
  throw new UsageError(
    `--sampler ${asked} is for models of ${kindOf(name)}, but this folder's ${given} has ${kindOf(given)}. Take another sampler, or give the model's own --scheduler.`,
  );
}
