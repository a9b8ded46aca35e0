// What the recorded trajectories cannot show: refusals, ignored keys, batches, and where states stand.
import { describe, expect, test } from "vitest";
import { createScheduler, runScheduler, schedulerNames } from "../../src/diffusers/schedulers/index.ts";

const model = async (x: Float32Array) => x.map((v) => 0.4 * v + 0.1);

describe("configurations", () => {
  test("every class runs with its defaults, finite to the end", async () => {
    for (const name of schedulerNames) {
      const config = { _class_name: name, final_sigmas_type: "sigma_min" };
      const scheduler = createScheduler(config, 8);
      const start = Float32Array.of(0.3, -1).map((v) => v * scheduler.initNoiseSigma);
      const x = await runScheduler(scheduler, { x: start, predict: model, noise: () => Float32Array.of(0.2, -0.4) });
      expect(x.every(Number.isFinite), name).toBe(true);
      const [alpha, sigma] = scheduler.row(0);
      expect(Math.hypot(alpha, sigma)).toBeGreaterThan(0.5);
    }
  });
  test("unknown keys are ignored, null is the default, another class may be named", () => {
    const config = {
      _class_name: "PNDMScheduler",
      _diffusers_version: "0.6.0",
      clip_sample: false,
      trained_betas: null,
      skip_prk_steps: true,
    };
    expect(createScheduler(config, 4).timesteps).toEqual([750, 500, 500, 250, 0]);
    const other = createScheduler(config, 4, {}, "DDIMScheduler");
    expect(other.name).toBe("DDIMScheduler");
    expect(other.timesteps).toEqual([750, 500, 250, 0]);
  });
  test("first and last rows of a PeRFlow scheduler", () => {
    const scheduler = createScheduler({ _class_name: "PeRFlowScheduler" }, 4);
    expect(scheduler.timesteps).toEqual([1000, 750, 500, 250]);
    expect(scheduler.row(0)[0]).toBeCloseTo(0.06826491, 6);
  });
  test("PeRFlow's timestep lists, with their truncation", () => {
    const list = (steps: number) => createScheduler({ _class_name: "PeRFlowScheduler" }, steps).timesteps;
    expect(list(10)).toEqual([1000, 916, 833, 750, 666, 583, 500, 375, 250, 125]);
    expect(list(12)).toEqual([1000, 916, 833, 750, 666, 583, 500, 416, 333, 250, 166, 83]);
    expect(list(20).slice(-2)).toEqual([99, 49]);
    expect(list(2)).toEqual(list(4));
  });
});

describe("refusals name the option and its value", () => {
  const make =
    (config: Record<string, unknown>, steps = 4, sampling = {}) =>
    () =>
      createScheduler(config, steps, sampling);
  const cases: [Record<string, unknown>, RegExp, number?][] = [
    [{ _class_name: "KarrasVeScheduler" }, /Unknown scheduler "KarrasVeScheduler"/],
    [{ _class_name: "DDIMScheduler", beta_schedule: "sigmoid" }, /Unknown beta schedule "sigmoid"/],
    [{ _class_name: "DDIMScheduler", timestep_spacing: "random" }, /timestep_spacing.*"random"/],
    [{ _class_name: "DDIMScheduler", beta_start: "low" }, /beta_start.*"low"/],
    [
      { _class_name: "DDIMScheduler", trained_betas: [0.1, -0.2, 0.3] },
      /beta\[1\] of DDIMScheduler is -0\.2.*trained_betas/,
    ],
    [
      { _class_name: "DPMSolverMultistepScheduler", trained_betas: [0.1, Number.NaN] },
      /beta\[1\].*is NaN.*in \[0, 1\]/,
    ],
    [
      { _class_name: "EulerDiscreteScheduler", beta_end: 1.5 },
      /beta\[\d+\] of EulerDiscreteScheduler is 1\.0.*beta_end 1\.5/,
    ],
    [
      { _class_name: "LCMScheduler", beta_start: -0.1 },
      /beta\[0\] of LCMScheduler is NaN.*scaled_linear.*beta_start -0\.1/,
    ],
    [{ _class_name: "DDIMScheduler" }, /1001 steps exceed num_train_timesteps = 1000/, 1001],
    [{ _class_name: "DDIMScheduler" }, /Number of steps.*0/, 0],
    [{ _class_name: "DDPMScheduler", variance_type: "learned_range" }, /variance_type.*"learned_range"/],
    [{ _class_name: "PNDMScheduler", prediction_type: "sample" }, /prediction_type.*"sample"/],
    [{ _class_name: "PNDMScheduler" }, /cannot in 3 steps/, 3],
    [{ _class_name: "DPMSolverMultistepScheduler", algorithm_type: "dpmsolver" }, /final_sigmas_type.*"zero"/],
    [{ _class_name: "DPMSolverMultistepScheduler", solver_order: 4 }, /solver_order.*4/],
    [{ _class_name: "DPMSolverMultistepScheduler", solver_type: "rk" }, /solver_type.*"rk"/],
    [
      { _class_name: "DPMSolverMultistepScheduler", use_karras_sigmas: true, use_exponential_sigmas: true },
      /use_exponential_sigmas and use_karras_sigmas|use_karras_sigmas and use_exponential_sigmas/,
    ],
    [{ _class_name: "EulerDiscreteScheduler", interpolation_type: "cubic" }, /interpolation_type.*"cubic"/],
    [{ _class_name: "FlowMatchEulerDiscreteScheduler", use_dynamic_shifting: true }, /Expected mu/],
    [{ _class_name: "EDMEulerScheduler", sigma_schedule: "linear" }, /sigma_schedule.*"linear"/],
    [{ _class_name: "LCMScheduler" }, /60 steps exceed the 50 timesteps/, 60],
    [{ _class_name: "PeRFlowScheduler", prediction_type: "epsilon" }, /prediction_type.*"epsilon"/],
  ];
  test.each(cases)("%j", (config, message, steps) => {
    expect(make(config, steps)).toThrow(message);
  });
  test("epsilon at zero terminal SNR", async () => {
    const scheduler = createScheduler(
      { _class_name: "DDIMScheduler", rescale_betas_zero_snr: true, timestep_spacing: "trailing" },
      4,
    );
    await expect(runScheduler(scheduler, { x: Float32Array.of(1), predict: model })).rejects.toThrow(
      /cannot read epsilon at alpha = 0/,
    );
  });
  test("noise that is missing", async () => {
    const scheduler = createScheduler({ _class_name: "LCMScheduler" }, 4);
    await expect(runScheduler(scheduler, { x: Float32Array.of(1), predict: model })).rejects.toThrow(
      /LCMScheduler is stochastic/,
    );
  });
});

test("dynamic thresholding works per sample of a batch", async () => {
  const config = {
    _class_name: "DDIMScheduler",
    thresholding: true,
    sample_max_value: 3,
    dynamic_thresholding_ratio: 0.9,
  };
  const one = [0.5, -2, 3.5, 0.1];
  const two = [9, -0.2, 0.4, -7];
  const run = (x: number[], batch: number) =>
    runScheduler(createScheduler(config, 3, { batch }), { x: Float32Array.from(x), predict: model });
  const together = await run([...one, ...two], 2);
  const apart = [...(await run(one, 1)), ...(await run(two, 1))];
  expect([...together]).toEqual(apart);
});
