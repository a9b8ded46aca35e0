import { readScheduler } from "../../src/diffusers/scheduler.ts";
import {
  createScheduler,
  runScheduler,
  type SchedulerConfig,
  schedulerNames,
} from "../../src/diffusers/schedulers/index.ts";
import type { Json } from "../mutate.ts";
import type { Target } from "../target.ts";
import { jsonInput, read } from "./configs.ts";

const scheduler: { [key: string]: Json } = {
  num_train_timesteps: 100,
  beta_start: 0.00085,
  beta_end: 0.012,
  beta_schedule: "scaled_linear",
  prediction_type: "epsilon",
  timestep_spacing: "leading",
  steps_offset: 1,
  set_alpha_to_one: false,
};
const options: readonly Json[] = [
  {
    solver_order: 2,
    algorithm_type: "dpmsolver++",
    solver_type: "midpoint",
    lower_order_final: true,
    use_karras_sigmas: true,
    final_sigmas_type: "zero",
  },
  {
    beta_schedule: "squaredcos_cap_v2",
    rescale_betas_zero_snr: true,
    prediction_type: "v_prediction",
    timestep_spacing: "trailing",
  },
  { trained_betas: [0.1, 0.2, 0.3, 0.4], clip_sample: true, thresholding: false, use_exponential_sigmas: false },
  {
    shift: 3,
    use_dynamic_shifting: false,
    shift_terminal: null,
    sigma_min: 0.002,
    sigma_max: 80,
    sigma_data: 0.5,
    rho: 7,
  },
];
const schedulers = async (): Promise<Target> => ({
  make(rng) {
    const plain: Json = {
      ...scheduler,
      ...(Object(rng.pick(options)) as object),
      _class_name: rng.pick(schedulerNames),
    };
    return jsonInput(rng, [{ config: plain, steps: 1 + rng.int(12) }]);
  },
  async read(input) {
    const { config, steps } = Object(read(input)) as { config: SchedulerConfig; steps: number };
    let form: Error | undefined;
    try {
      readScheduler(config);
    } catch (error) {
      form = error as Error;
    }
    if (form instanceof TypeError) throw form;
    const found = createScheduler(Object(config) as SchedulerConfig, steps, { mu: 1 });
    if (!found.timesteps.every(Number.isFinite)) return `timesteps ${found.timesteps.slice(0, 8)}`;
    if (found.timesteps.length > 100) return undefined;
    const start = Float32Array.of(0.3, -1).map((v) => v * found.initNoiseSigma);
    const x = await runScheduler(found, {
      x: start,
      predict: async (v, t) => v.map((a) => 0.4 * a + 1e-4 * t),
      noise: () => Float32Array.of(0.2, -0.4),
    });
    return x.every(Number.isFinite) ? undefined : `${found.name} in ${steps} steps ends at ${x}`;
  },
});

export const samplers = { scheduler: schedulers };
