// diffusers' schedulers from their scheduler_config.json: timesteps, input scaling and steps that match theirs.
import { show } from "../../core/show.ts";
import { MOST, readOptions, type SchedulerConfig, type SchedulerName, schedulerNames } from "./config.ts";
import { lcmScheduler, tcdScheduler } from "./consistency.ts";
import { ddimScheduler, ddpmScheduler } from "./ddim.ts";
import { deisScheduler, dpmMultistepScheduler, dpmSinglestepScheduler } from "./dpm.ts";
import { edmEulerScheduler, eulerAncestralScheduler, eulerScheduler, heunScheduler } from "./euler.ts";
import { flowEulerScheduler, flowHeunScheduler } from "./flow.ts";
import { perflowScheduler } from "./perflow.ts";
import { pndmScheduler } from "./pndm.ts";
import {
  type Context,
  type DiffusersScheduler,
  nothing,
  type SamplingOptions,
  type SchedulerBody,
} from "./scheduler.ts";
import { unipcScheduler } from "./unipc.ts";

const classes: Record<SchedulerName, (context: Context) => SchedulerBody> = {
  DDIMScheduler: ddimScheduler,
  DDPMScheduler: ddpmScheduler,
  PNDMScheduler: pndmScheduler,
  DPMSolverMultistepScheduler: dpmMultistepScheduler,
  DPMSolverSinglestepScheduler: dpmSinglestepScheduler,
  DEISMultistepScheduler: deisScheduler,
  UniPCMultistepScheduler: unipcScheduler,
  EulerDiscreteScheduler: eulerScheduler,
  EulerAncestralDiscreteScheduler: eulerAncestralScheduler,
  HeunDiscreteScheduler: heunScheduler,
  LCMScheduler: lcmScheduler,
  TCDScheduler: tcdScheduler,
  FlowMatchEulerDiscreteScheduler: flowEulerScheduler,
  FlowMatchHeunDiscreteScheduler: flowHeunScheduler,
  EDMEulerScheduler: edmEulerScheduler,
  EDMDPMSolverMultistepScheduler: dpmMultistepScheduler,
  PeRFlowScheduler: perflowScheduler,
};

/**
 * The sampler a scheduler_config.json describes, for a number of steps. Another class may be named to sample with the
 * same noise schedule, as diffusers' `from_config` does.
 * @throws RangeError naming the class or option that is not supported, or a number of steps it cannot take.
 */
export function createScheduler(
  config: SchedulerConfig,
  steps: number,
  sampling: SamplingOptions = {},
  className = config._class_name,
): DiffusersScheduler {
  if (typeof className !== "string")
    throw new RangeError(
      `The scheduler's _class_name is ${show(className, 40)}. Expected one of ${schedulerNames.join(", ")}.`,
    );
  const name = className as SchedulerName;
  const options = readOptions(name, config);
  const count =
    sampling.timesteps?.length ??
    (sampling.sigmas ? sampling.sigmas.length - (name === "EulerDiscreteScheduler" ? 1 : 0) : steps);
  if (!Number.isInteger(count) || count < 1 || count > MOST)
    throw new RangeError(`Number of steps of ${name} is ${show(count)}. Expected a whole number from 1 to ${MOST}.`);
  const body = classes[name]({ name, options, steps: count, sampling });
  const broken = [...body.timesteps, body.initNoiseSigma].find((value) => !Number.isFinite(value));
  if (broken !== undefined)
    throw new RangeError(
      `The options of ${name} give ${broken} among its timesteps and first sigma in ${count} steps. Check its betas and sigmas; expected noise that grows from one timestep to the next.`,
    );
  return { name, ...body };
}

export interface RunOptions {
  /** The starting state, already multiplied by initNoiseSigma. */
  x: Float32Array;
  /** The network on the scaled input at a timestep. */
  predict: (x: Float32Array, timestep: number, k: number) => Promise<Float32Array>;
  noise?: (k: number) => Float32Array;
  onStep?: (event: { k: number; timestep: number; x: Float32Array }) => void;
  /** First call, for image to image. */
  from?: number;
}

/** Runs a scheduler to its end: one network call per timestep. */
export async function runScheduler(
  scheduler: DiffusersScheduler,
  { x: start, predict, noise, onStep, from = 0 }: RunOptions,
): Promise<Float32Array> {
  let x = start;
  let memory = nothing;
  for (let k = from; k < scheduler.timesteps.length; k++) {
    const scale = scheduler.inputScale(k);
    const timestep = scheduler.timesteps[k];
    const output = await predict(scale === 1 ? x : x.map((v) => v * scale), timestep, k);
    const draw = () => {
      if (!noise)
        throw new RangeError(
          `${scheduler.name} is stochastic and call ${k} asked for noise. Expected a \`noise\` function.`,
        );
      return noise(k);
    };
    ({ x, memory } = scheduler.step({ k, x, output, noise: draw, memory }));
    onStep?.({ k, timestep, x });
  }
  return x;
}

export { type SchedulerConfig, type SchedulerName, schedulerNames } from "./config.ts";
export type { DiffusersScheduler, SamplingOptions } from "./scheduler.ts";
