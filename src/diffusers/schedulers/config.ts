// scheduler_config.json: options with the defaults of diffusers' classes.

import { show } from "../../core/show.ts";

/** Every option of every supported class. Names are diffusers'. */
export interface Options {
  num_train_timesteps: number;
  beta_start: number;
  beta_end: number;
  beta_schedule: string;
  trained_betas: readonly number[] | null;
  rescale_betas_zero_snr: boolean;
  prediction_type: string;
  timestep_spacing: string;
  steps_offset: number;
  set_alpha_to_one: boolean;
  clip_sample: boolean;
  clip_sample_range: number;
  thresholding: boolean;
  dynamic_thresholding_ratio: number;
  sample_max_value: number;
  variance_type: string | null;
  solver_order: number;
  algorithm_type: string;
  solver_type: string;
  lower_order_final: boolean;
  euler_at_final: boolean;
  final_sigmas_type: string;
  lambda_min_clipped: number;
  use_karras_sigmas: boolean;
  use_exponential_sigmas: boolean;
  use_beta_sigmas: boolean;
  use_lu_lambdas: boolean;
  use_flow_sigmas: boolean;
  flow_shift: number;
  use_dynamic_shifting: boolean;
  time_shift_type: string;
  shift: number;
  shift_terminal: number | null;
  invert_sigmas: boolean;
  stochastic_sampling: boolean;
  sigma_min: number | null;
  sigma_max: number | null;
  sigma_data: number;
  sigma_schedule: string;
  rho: number;
  predict_x0: boolean;
  disable_corrector: readonly number[];
  interpolation_type: string;
  timestep_type: string;
  skip_prk_steps: boolean;
  original_inference_steps: number;
  timestep_scaling: number;
  num_time_windows: number;
  t_clean: number;
}

const table: Partial<Options> = {
  num_train_timesteps: 1000,
  beta_start: 0.0001,
  beta_end: 0.02,
  beta_schedule: "linear",
  trained_betas: null,
  prediction_type: "epsilon",
};
const spaced: Partial<Options> = {
  ...table,
  timestep_spacing: "leading",
  steps_offset: 0,
  rescale_betas_zero_snr: false,
};
const clipped: Partial<Options> = { clip_sample: true, clip_sample_range: 1 };
const threshold: Partial<Options> = { thresholding: false, dynamic_thresholding_ratio: 0.995, sample_max_value: 1 };
const respaced: Partial<Options> = { use_karras_sigmas: false, use_exponential_sigmas: false, use_beta_sigmas: false };
const flow: Partial<Options> = {
  use_flow_sigmas: false,
  flow_shift: 1,
  use_dynamic_shifting: false,
  time_shift_type: "exponential",
};
const dpm: Partial<Options> = {
  ...table,
  ...threshold,
  ...respaced,
  ...flow,
  solver_order: 2,
  algorithm_type: "dpmsolver++",
  solver_type: "midpoint",
  lower_order_final: true,
  euler_at_final: false,
  final_sigmas_type: "zero",
  lambda_min_clipped: Number.NEGATIVE_INFINITY,
  variance_type: null,
};
const consistency: Partial<Options> = {
  ...spaced,
  ...threshold,
  beta_start: 0.00085,
  beta_end: 0.012,
  beta_schedule: "scaled_linear",
  original_inference_steps: 50,
  clip_sample: false,
  clip_sample_range: 1,
  set_alpha_to_one: true,
  timestep_scaling: 10,
};
const edm: Partial<Options> = {
  sigma_min: 0.002,
  sigma_max: 80,
  sigma_data: 0.5,
  sigma_schedule: "karras",
  num_train_timesteps: 1000,
  prediction_type: "epsilon",
  rho: 7,
  final_sigmas_type: "zero",
};

const defaults = {
  DDIMScheduler: { ...spaced, ...clipped, ...threshold, set_alpha_to_one: true },
  DDPMScheduler: { ...spaced, ...clipped, ...threshold, variance_type: "fixed_small" },
  PNDMScheduler: { ...spaced, skip_prk_steps: false, set_alpha_to_one: false },
  DPMSolverMultistepScheduler: {
    ...dpm,
    timestep_spacing: "linspace",
    steps_offset: 0,
    rescale_betas_zero_snr: false,
    use_lu_lambdas: false,
  },
  DPMSolverSinglestepScheduler: { ...dpm, lower_order_final: false },
  DEISMultistepScheduler: {
    ...dpm,
    timestep_spacing: "linspace",
    steps_offset: 0,
    algorithm_type: "deis",
    solver_type: "logrho",
  },
  UniPCMultistepScheduler: {
    ...dpm,
    timestep_spacing: "linspace",
    steps_offset: 0,
    rescale_betas_zero_snr: false,
    predict_x0: true,
    solver_type: "bh2",
    disable_corrector: [],
    shift_terminal: null,
  },
  EulerDiscreteScheduler: {
    ...spaced,
    ...respaced,
    timestep_spacing: "linspace",
    interpolation_type: "linear",
    timestep_type: "discrete",
    final_sigmas_type: "zero",
  },
  EulerAncestralDiscreteScheduler: { ...spaced, timestep_spacing: "linspace" },
  HeunDiscreteScheduler: {
    ...spaced,
    ...respaced,
    ...clipped,
    beta_start: 0.00085,
    beta_end: 0.012,
    clip_sample: false,
    timestep_spacing: "linspace",
  },
  LCMScheduler: consistency,
  TCDScheduler: consistency,
  FlowMatchEulerDiscreteScheduler: {
    ...respaced,
    num_train_timesteps: 1000,
    shift: 1,
    use_dynamic_shifting: false,
    time_shift_type: "exponential",
    shift_terminal: null,
    invert_sigmas: false,
    stochastic_sampling: false,
  },
  FlowMatchHeunDiscreteScheduler: { num_train_timesteps: 1000, shift: 1 },
  EDMEulerScheduler: edm,
  EDMDPMSolverMultistepScheduler: {
    ...edm,
    ...threshold,
    solver_order: 2,
    algorithm_type: "dpmsolver++",
    solver_type: "midpoint",
    lower_order_final: true,
    euler_at_final: false,
  },
  PeRFlowScheduler: {
    ...table,
    beta_start: 0.00085,
    beta_end: 0.012,
    beta_schedule: "scaled_linear",
    prediction_type: "ddim_eps",
    set_alpha_to_one: false,
    num_time_windows: 4,
    t_clean: 0,
  },
} satisfies Record<string, Partial<Options>>;

export type SchedulerName = keyof typeof defaults;
export const schedulerNames = Object.keys(defaults) as SchedulerName[];

/** A parsed scheduler_config.json. */
export type SchedulerConfig = Readonly<Record<string, unknown>>;

/** Options whose default is null, and what they hold when they are set. */
const nullable: Partial<Record<keyof Options, "number" | "string" | "object">> = {
  trained_betas: "object",
  variance_type: "string",
  sigma_min: "number",
  sigma_max: "number",
  shift_terminal: "number",
};

/**
 * Options of a class with diffusers' defaults. Keys a class does not know are ignored, as diffusers does, except
 * sigma_min and sigma_max, which its respacing reads whenever they are there.
 * @throws RangeError for an unknown class or an option of the wrong type.
 */
export function readOptions(name: string, config: SchedulerConfig): Options {
  if (!Object.hasOwn(defaults, name)) {
    throw new RangeError(`Unknown scheduler ${show(name, 40)}. Expected one of ${schedulerNames.join(", ")}.`);
  }
  const known: Record<string, unknown> = { sigma_min: null, sigma_max: null, ...defaults[name as SchedulerName] };
  for (const [option, fallback] of Object.entries(known)) {
    const value = config[option];
    if (value === undefined || value === null) continue;
    const type = nullable[option as keyof Options] ?? typeof fallback;
    // Configurations written by Python hold -Infinity as a string or drop it.
    const number =
      type === "number" && typeof value === "string"
        ? Number(value.replace(/^(-?)inf(inity)?$/i, "$1Infinity"))
        : value;
    if (typeof number !== type || Number.isNaN(number)) {
      throw new RangeError(
        `Option ${option} of ${name} is ${show(value)}. Expected a ${type === "object" ? "list of numbers" : type}.`,
      );
    }
    if (
      type === "object" &&
      !(Array.isArray(value) && value.length <= MOST && value.every((v) => typeof v === "number"))
    )
      throw new RangeError(
        `Option ${option} of ${name} is ${show(value)}. Expected a list of at most ${MOST} numbers.`,
      );
    const most = option === "solver_order" ? MOST_ORDER : MOST;
    if (COUNTS.has(option) && !(Number.isInteger(number) && Number(number) >= 1 && Number(number) <= most))
      throw new RangeError(`Option ${option} of ${name} is ${show(value)}. Expected a whole number from 1 to ${most}.`);
    known[option] = number;
  }
  return known as unknown as Options;
}

/** Entries of a table and timesteps, far above the usual 1000. */
export const MOST = 100_000;
const MOST_ORDER = 16;
const COUNTS = new Set(["num_train_timesteps", "solver_order", "original_inference_steps", "num_time_windows"]);

/** Refuses a value by name. */
export function refuse(name: string, option: string, value: unknown, expected: string): never {
  throw new RangeError(`Option ${option} of ${name} is ${show(value)}, which is not supported. Expected ${expected}.`);
}
