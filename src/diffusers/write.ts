// A model as the configurations of a diffusers folder: what its UNet2DModel and its scheduler are told to be the same model
// there. What diffusers has no words for is refused, because a model in another form fails silently.

import type { Form, FormSpec } from "../core/index.ts";
import type { Model, TimeInput } from "../model.ts";
import type { Network } from "../nn/network.ts";
import type { Params } from "../nn/params.ts";
import { NULL_LABEL_KEY } from "./classes.ts";

export interface WritableModel {
  readonly name: string;
  readonly network: Network;
  readonly model: Model<Params>;
  readonly timeInput: TimeInput;
  /** How it is sampled. */
  readonly solver: string;
}

export interface DiffusersConfigs {
  readonly modelIndex: Readonly<Record<string, unknown>>;
  readonly unet: Readonly<Record<string, unknown>>;
  readonly scheduler: Readonly<Record<string, unknown>>;
  /** What is not exactly the same there, in sentences. */
  readonly notes: readonly string[];
}

const predictions: Readonly<Record<string, string>> = { eps: "epsilon", x0: "sample", v: "v_prediction" };

/** Timesteps of the tables that are made of forms in continuous time. */
const TICKS = 1000;

/** Throws an Error, one sentence with everything that diffusers cannot hold and what holds it. */
export function diffusersConfigs(one: WritableModel): DiffusersConfigs {
  const { name, network, model } = one;
  const wrong: string[] = [];
  if (network.family !== "unet2d")
    wrong.push(`its network is ${network.family === "onnx" ? "an ONNX file" : network.family}, not a UNet2DModel`);
  else if (network.config.span_embedding || network.config.guidance_embedding_dim !== null)
    wrong.push("its method tells the network more than time and class");
  if (model.native) wrong.push("its network is read in another form than its own");
  if (model.boundary) wrong.push("its output is joined with the state (a consistency model)");
  if (one.solver !== "ddim" && one.solver !== "euler") wrong.push(`it is sampled with ${one.solver}`);
  const scheduler = schedulerOf(one);
  if (typeof scheduler === "string") wrong.push(scheduler);
  if (wrong.length > 0 || typeof scheduler === "string" || network.family !== "unet2d")
    throw new Error(
      `${name} cannot be a diffusers folder: ${wrong.join("; ")}. Use --to onnx, which holds the whole sampler.`,
    );
  const { span_embedding, guidance_embedding_dim, ...config } = network.config;
  const { labels } = network.conditions;
  return {
    modelIndex: {
      _class_name: scheduler.config._class_name === "DDIMScheduler" ? "DDIMPipeline" : "DDPMPipeline",
      scheduler: ["diffusers", scheduler.config._class_name],
      unet: ["diffusers", "UNet2DModel"],
    },
    unet: {
      _class_name: "UNet2DModel",
      ...(labels?.rows ? { [NULL_LABEL_KEY]: labels.none ? labels.rows - 1 : null } : {}),
      ...config,
    },
    scheduler: scheduler.config,
    notes: scheduler.notes,
  };
}

interface Scheduler {
  readonly config: Readonly<Record<string, unknown>> & { readonly _class_name: string };
  readonly notes: readonly string[];
}

/** Or why there is none. */
export function schedulerOf({
  model: { form, prediction },
  timeInput,
}: Pick<WritableModel, "model" | "timeInput">): Scheduler | string {
  const { spec } = form;
  const thousand = timeInput.scale === TICKS && timeInput.offset === 0 && !timeInput.normalize;
  if (spec.kind === "linear") {
    if (prediction.name !== "u") return `it predicts ${prediction.name} on linear, where diffusers knows u alone`;
    if (spec.shift !== 1) return "its linear form is shifted";
    if (!thousand) return "its network is told other times than 1000·t";
    const config = { _class_name: "FlowMatchEulerDiscreteScheduler", num_train_timesteps: TICKS, shift: 1 };
    return { config, notes: [] };
  }
  const type = predictions[prediction.name];
  if (type === undefined)
    return `it predicts ${prediction.name}, where diffusers' schedulers of its form know epsilon, sample and v_prediction`;
  const config = {
    _class_name: "DDIMScheduler",
    prediction_type: type,
    timestep_spacing: "trailing",
    set_alpha_to_one: true,
    steps_offset: 0,
    clip_sample: false,
    thresholding: false,
  };
  if (spec.kind === "table") {
    const table = tableOf(spec);
    const { length: T } = cumulative(form);
    if (timeInput.scale !== T || timeInput.offset !== -1 || timeInput.normalize)
      return "its network is told other times than its table's timesteps";
    // A table ends at its first entry, short of the data.
    return { config: { ...config, set_alpha_to_one: false, num_train_timesteps: T, ...table }, notes: [] };
  }
  if (spec.kind !== "vp" && spec.kind !== "cosine")
    return spec.kind === "chord"
      ? "its form is a chord, straight inside each window, which diffusers' schedulers do not know"
      : `its form is ${form.name}, which is no table of betas`;
  if (!thousand) return "its network is told other times than 1000·t";
  // The network is told i at t = i/1000, so entry i of the table is that of this time.
  const bars = Array.from({ length: TICKS }, (_, i) => form.at(i / TICKS)[0] ** 2);
  const betas = bars.map((bar, i) => (i === 0 ? 1 - bar : 1 - bar / bars[i - 1]));
  return {
    config: { ...config, num_train_timesteps: TICKS, trained_betas: betas },
    notes: [
      `The form ${form.name} has no last timestep: there sampling starts at t = 0.999 and each step is 0.001 earlier than here, so samples differ by about that much.`,
    ],
  };
}

const cumulative = (form: Form): ArrayLike<number> =>
  (form as Form & { readonly alphasCumprod: ArrayLike<number> }).alphasCumprod;

/** The betas of a table as schedulers are told them. */
export function tableOf(spec: Extract<FormSpec, { kind: "table" }>): Readonly<Record<string, unknown>> {
  if (spec.schedule === "trained_betas") return { trained_betas: spec.betas, rescale_betas_zero_snr: spec.zeroSnr };
  if (spec.schedule === "alphas_cumprod") {
    const bars = spec.alphasCumprod;
    return { trained_betas: bars.map((bar, i) => 1 - bar / (i === 0 ? 1 : bars[i - 1])) };
  }
  return {
    beta_schedule: spec.schedule,
    beta_start: spec.betaStart,
    beta_end: spec.betaEnd,
    rescale_betas_zero_snr: spec.zeroSnr,
  };
}
