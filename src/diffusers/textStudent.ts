// A text-to-image student as what changes in its teacher's folder of diffusers: how it is sampled there, and what makes the
// network right under that scheduler. What diffusers has no words for is refused.
import { diffEps, eps, formFromSpec, type Prediction, velocity } from "../core/index.ts";
import type { UNet2DConditionConfig } from "../nn/unet2dConditionConfig.ts";
import type { Change } from "./rewrite.ts";
import { schedulerOf, tableOf, type WritableModel } from "./write.ts";

/** Steps and guidance that `generate` takes where none are given: diffusers leaves keys alone that it does not know. */
export const STUDENT_KEY = "fewstep";

export interface MadeFor {
  readonly steps: number;
  /** Undefined: the sampler's own default. */
  readonly guidance?: number;
}

export interface TextStudent {
  /** scheduler_config.json. */
  readonly scheduler: Readonly<Record<string, unknown>> & { readonly _class_name: string };
  /** Added to the time labels that the scheduler tells, to have those that the student learned with. */
  readonly labelShift: number;
  /** Keys of the U-Net's configuration that the teacher's has otherwise. */
  readonly unet: Readonly<Record<string, unknown>>;
  readonly notes: readonly string[];
}

const perflowPredictions: readonly (readonly [Prediction, string])[] = [
  [eps, "ddim_eps"],
  [diffEps, "diff_eps"],
  [velocity, "velocity"],
];

/** Throws an Error, one sentence with everything that a folder of diffusers cannot hold. */
export function textStudent(one: WritableModel, madeFor: MadeFor): TextStudent {
  const { name, network, model } = one;
  if (network.family !== "unet2d-condition") throw new Error(`${name} is no text-to-image model.`);
  const { config } = network;
  const wrong: string[] = [];
  if (config.span_embedding) wrong.push("its network is told the interval that it steps over");
  if (model.native) wrong.push("its network is read in another form than its own");
  const found = model.boundary ? consistencyScheduler(one) : stepping(one);
  if (typeof found === "string") wrong.push(found);
  if (wrong.length > 0 || typeof found === "string")
    throw new Error(
      `${name} cannot be a diffusers folder: ${wrong.join("; ")}. Train with perflow, rectified-diffusion or lcm for one.`,
    );
  const { labelShift = 0, ...rest } = found;
  if (labelShift !== 0 && config.time_cond_proj_dim !== null)
    throw new Error(`${name} cannot be a diffusers folder: it is told its guidance, and other times than there.`);
  return {
    scheduler: { ...rest.scheduler, [STUDENT_KEY]: { ...madeFor } },
    labelShift,
    unet: { time_cond_proj_dim: config.time_cond_proj_dim, sample_size: config.sample_size },
    notes: rest.notes,
  };
}

interface Found {
  readonly scheduler: TextStudent["scheduler"];
  readonly labelShift?: number;
  readonly notes: readonly string[];
}

/** Of a consistency model, or why there is none. */
function consistencyScheduler({ model, timeInput, solver }: WritableModel): Found | string {
  const { boundary, own, form } = model;
  if (boundary?.kind !== "lcm" || boundary.sigmaData !== 0.5)
    return "its output is joined with the state in another way than LCMScheduler does it";
  if (solver !== "lcm") return `it is sampled with ${solver}`;
  const under = schedulerOf({ model: { ...model, prediction: own ?? model.prediction }, timeInput });
  if (typeof under === "string") return under;
  if (form.spec.kind !== "table" || under.config._class_name !== "DDIMScheduler")
    return "its noise levels are no table of betas";
  const { timestep_spacing: _, steps_offset: __, ...config } = under.config as Record<string, unknown>;
  const scheduler = { ...config, _class_name: "LCMScheduler", timestep_scaling: 10, original_inference_steps: 50 };
  return {
    scheduler,
    notes: [
      "LCMScheduler picks its steps among 50 timesteps: with more than two they are up to 20 of 1000 away from fewstep's.",
    ],
  };
}

/** Of a model that is stepped along its form, or why there is none. */
function stepping({ model, timeInput, solver }: WritableModel): Found | string {
  const { form, prediction } = model;
  if (solver !== "ddim" && solver !== "euler") return `it is sampled with ${solver}`;
  const { spec } = form;
  if (spec.kind !== "chord") {
    const plain = schedulerOf({ model, timeInput });
    return typeof plain === "string" ? plain : { scheduler: plain.config, notes: plain.notes };
  }
  const under = schedulerOf({ model: { ...model, form: baseOf(form), prediction: eps }, timeInput });
  if (typeof under === "string") return under;
  const { base, windows } = spec;
  if (base.kind !== "table" || windows.kind !== "uniform") return "its windows are no even parts of a table of betas";
  const type = perflowPredictions.find(([p]) => p.name === prediction.name)?.[1];
  if (type === undefined) return `it predicts ${prediction.name}, which PeRFlowScheduler does not know`;
  const { rescale_betas_zero_snr: zero, ...betas } = tableOf(base) as Record<string, unknown>;
  if (zero === true) return "its last noise level has no signal, which PeRFlowScheduler cannot say";
  const T = timeInput.scale;
  const scheduler = {
    ...{ _class_name: "PeRFlowScheduler", num_train_timesteps: T, ...betas },
    ...{ prediction_type: type, num_time_windows: windows.count, set_alpha_to_one: false },
  };
  // PeRFlowScheduler tells T·t, the student learned with T·t − 1 as its teacher did.
  return { scheduler, labelShift: timeInput.offset, notes: [] };
}

const baseOf = (form: WritableModel["model"]["form"]): WritableModel["model"]["form"] => {
  const { spec } = form;
  return spec.kind === "chord" ? formFromSpec(spec.base) : form;
};

const TIME = "time_embedding.linear_1.weight";

/**
 * The change of weights that adds `by` to the time that a network is told, as exactly as float32: sines and cosines of
 * t + by are those of t, turned, and the first layer of the time embedding takes the turn in.
 */
export function shiftedLabels(config: UNet2DConditionConfig, by: number): ReadonlyMap<string, Change> {
  if (by === 0) return new Map();
  const width = config.block_out_channels[0];
  const { flip_sin_to_cos: flip, freq_shift: shift } = config;
  const half = Math.floor(width / 2);
  const turn = (values: Float32Array): Float32Array => {
    const out = values.slice();
    for (let row = 0; row < values.length; row += width)
      for (let i = 0; i < half; i++) {
        const angle = by * Math.exp((-Math.log(10000) * i) / (half - shift));
        const [c, s] = [Math.cos(angle), Math.sin(angle)];
        const [cosine, sine] = flip ? [row + i, row + half + i] : [row + half + i, row + i];
        // a·cos(t + by) + b·sin(t + by), in cos t and sin t.
        const [a, b] = [values[cosine], values[sine]];
        out[cosine] = a * c + b * s;
        out[sine] = b * c - a * s;
      }
    return out;
  };
  return new Map([[TIME, turn]]);
}
