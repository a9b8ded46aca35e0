// A scheduler_config.json of diffusers as a form: the table of its betas, and what the network predicts.

import { eps, type Prediction, type Schedule, type TableForm, table, vPrediction, x0 } from "../core/index.ts";
import { show } from "../core/show.ts";

export interface SchedulerForm {
  readonly form: TableForm;
  readonly prediction: Prediction;
  /** Entries of the table, T. */
  readonly steps: number;
  /** What diffusers would do in sampling and a form does not say. */
  readonly notes: readonly string[];
}

/** Entries of a table, far above the usual 1000. */
const MOST_STEPS = 100_000;

const common = { beta_schedule: "linear", beta_start: 0.0001, beta_end: 0.02 };
const latent = { beta_schedule: "scaled_linear", beta_start: 0.00085, beta_end: 0.012 };

/** Classes whose noise levels are a table of betas, with the defaults of the keys a file may lack. */
const classes: Readonly<Record<string, typeof common>> = {
  DDPMScheduler: common,
  DDPMParallelScheduler: common,
  DDIMScheduler: common,
  DDIMParallelScheduler: common,
  DDIMInverseScheduler: common,
  PNDMScheduler: common,
  DPMSolverMultistepScheduler: common,
  DPMSolverSinglestepScheduler: common,
  DEISMultistepScheduler: common,
  UniPCMultistepScheduler: common,
  SASolverScheduler: common,
  EulerDiscreteScheduler: common,
  EulerAncestralDiscreteScheduler: common,
  LMSDiscreteScheduler: common,
  HeunDiscreteScheduler: latent,
  KDPM2DiscreteScheduler: latent,
  KDPM2AncestralDiscreteScheduler: latent,
  LCMScheduler: latent,
  TCDScheduler: latent,
};

const predictions: Readonly<Record<string, Prediction>> = { epsilon: eps, sample: x0, v_prediction: vPrediction };
const schedules: readonly Schedule[] = ["linear", "scaled_linear", "squaredcos_cap_v2"];

const known = Object.keys(classes)
  .map((name) => name.replace(/Scheduler$/, ""))
  .join(", ")
  .concat(" (…Scheduler)");

/** Throws an Error, one sentence naming class, key and value, for everything whose form is not such a table. */
export function readScheduler(config: unknown, name = "scheduler_config.json"): SchedulerForm {
  if (typeof config !== "object" || config === null || Array.isArray(config))
    throw new Error(`${name} is no scheduler configuration: expected an object.`);
  const keys = new Map(Object.entries(config));
  const kind = keys.get("_class_name");
  if (kind === undefined)
    throw new Error(`${name} has no "_class_name", which says what scheduler it is of. Expected one of ${known}.`);
  if (typeof kind !== "string" || !Object.hasOwn(classes, kind))
    throw new Error(
      `${name} is of ${typeof kind === "string" ? kind.slice(0, 80) : show(kind)}, whose noise levels are not a table of betas. Expected one of ${known}.`,
    );
  const defaults = classes[kind];
  const get = (key: string, missing: unknown) => keys.get(key) ?? missing;
  const refuse = (key: string, expected: string) =>
    new Error(`${name} has "${key}": ${show(keys.get(key))}, which is not supported. Expected ${expected}.`);
  const number = (key: string, missing: number) => {
    const value = get(key, missing);
    if (typeof value !== "number" || !Number.isFinite(value)) throw refuse(key, "a number");
    return value;
  };

  const predictionType = get("prediction_type", "epsilon");
  if (typeof predictionType !== "string" || !Object.hasOwn(predictions, predictionType))
    throw refuse("prediction_type", Object.keys(predictions).join(", "));
  const prediction = predictions[predictionType];
  const zeroSnr = get("rescale_betas_zero_snr", false) === true;
  if (zeroSnr && prediction === eps)
    throw new Error(
      `${name} has epsilon prediction with rescale_betas_zero_snr, so the network says nothing about the data at the last timestep. Expected v_prediction or sample.`,
    );
  for (const key of ["use_flow_sigmas"]) if (keys.get(key) === true) throw refuse(key, "false");

  const trained = keys.get("trained_betas") ?? undefined;
  const notes = ["clip_sample", "thresholding"]
    .filter((key) => keys.get(key) === true)
    .map((key) => `${name} has ${key}: here samples are not clipped on the way.`);
  if (trained !== undefined) {
    if (
      !Array.isArray(trained) ||
      trained.length < 2 ||
      trained.length > MOST_STEPS ||
      !trained.every((b) => typeof b === "number")
    )
      throw refuse("trained_betas", `null or 2 to ${MOST_STEPS} numbers`);
    return { form: table({ betas: trained, zeroSnr }), prediction, steps: trained.length, notes };
  }
  const schedule = schedules.find((known) => known === get("beta_schedule", defaults.beta_schedule));
  if (!schedule) throw refuse("beta_schedule", schedules.join(", "));
  const steps = number("num_train_timesteps", 1000);
  if (!Number.isInteger(steps) || steps < 2 || steps > MOST_STEPS)
    throw refuse("num_train_timesteps", `a whole number from 2 to ${MOST_STEPS}`);
  const form = table({
    schedule,
    betaStart: number("beta_start", defaults.beta_start),
    betaEnd: number("beta_end", defaults.beta_end),
    steps,
    zeroSnr,
  });
  return { form, prediction, steps, notes };
}
