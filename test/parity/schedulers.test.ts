// Every recorded sampler trajectory of diffusers, replayed: timesteps, starting scale and the state after every call.
import { describe, expect, test } from "vitest";
import { createScheduler, runScheduler, type SamplingOptions } from "../../src/diffusers/schedulers/index.ts";
import { goldenOf, reportCases } from "./folders.ts";

interface Case {
  scheduler: string;
  config: Record<string, unknown>;
  steps: number;
  /** Arguments of set_timesteps beside the number of steps, and of step. */
  set: Record<string, unknown>;
  step?: Record<string, unknown>;
  init_noise_sigma: number;
  timesteps: number[];
  trajectory: number[][];
  start: number[];
  noise?: number[][];
  relative_noise: number;
}

/** The formula that stands in for a network. */
const model = async (x: Float32Array, t: number) =>
  x.map((v) => 0.35 * Math.sin(2 * v + 0.003 * t) + 0.12 * Math.cos(t / 90) * v + 0.05);

function sampling({ scheduler, set, step = {}, noise }: Case): SamplingOptions {
  const all = { ...set, ...step } as Record<string, number>;
  // TCD adds noise by default; a case that recorded none was run without.
  const eta = all.eta ?? (scheduler === "TCDScheduler" && !noise ? 0 : undefined);
  return {
    mu: all.mu,
    eta,
    originalInferenceSteps: all.original_inference_steps,
    strength: all.strength,
    ...(all.s_churn === undefined
      ? {}
      : { churn: { s_churn: all.s_churn, s_tmin: all.s_tmin, s_tmax: all.s_tmax, s_noise: all.s_noise } }),
    ...(Array.isArray(set.timesteps) ? { timesteps: set.timesteps as number[] } : {}),
    ...(Array.isArray(set.sigmas) ? { sigmas: set.sigmas as number[] } : {}),
  };
}

const label = (c: Case, i: number) => {
  const { num_train_timesteps: _t, beta_start: _a, beta_end: _b, trained_betas, ...config } = c.config;
  return `${i} ${c.scheduler} ${c.steps} ${JSON.stringify({ ...config, ...(trained_betas ? { trained_betas: "list" } : {}), ...c.set, ...c.step })}`;
};

const files = goldenOf<{ readonly cases: readonly Case[] }>("schedulers");
let ran = 0;
for (const { file, golden } of files) {
  const { cases } = golden;
  describe(file, () => {
    test("holds cases", () => {
      console.log(`${cases.length} scheduler cases in ${file}`);
      expect(cases.length).toBeGreaterThan(0);
    });
    test.each(cases.map((c, i) => [label(c, i), c] as const))("%s", async (_label, c) => {
      const scheduler = createScheduler(c.config, c.steps, sampling(c), c.scheduler);
      expect(scheduler.timesteps.length).toBe(c.timesteps.length);
      c.timesteps.forEach((t, k) => {
        // Integers exactly; EDM's and flow matching's times up to the last bits of a float32.
        const slack = Number.isInteger(t) ? 0 : 1e-6 * Math.max(1, Math.abs(t));
        expect(
          Math.abs(scheduler.timesteps[k] - t),
          `timestep ${k}: ${scheduler.timesteps[k]}, expected ${t}`,
        ).toBeLessThanOrEqual(slack);
      });
      expect(Math.abs(scheduler.initNoiseSigma / c.init_noise_sigma - 1)).toBeLessThan(1e-6);
      const tolerance = Math.max(1e-5, 10 * c.relative_noise);
      await runScheduler(scheduler, {
        x: Float32Array.from(c.start),
        predict: model,
        noise: (k) => Float32Array.from(c.noise?.[k] ?? []),
        onStep: ({ k, x }) => {
          const golden = c.trajectory[k];
          const scale = Math.max(1, ...golden.map(Math.abs));
          const error = Math.max(...golden.map((v, i) => Math.abs(v - x[i]))) / scale;
          expect(error, `call ${k} is off by ${error}`).toBeLessThanOrEqual(tolerance);
        },
      });
      ran++;
    });
  });
}

test("ran every case that exists", () => reportCases("schedulers", "trajectory", files, ran));
