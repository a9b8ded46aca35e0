// The training of the demo. The studio's digits are of it, too.

/** What the demo does, and all it does: the same options on the command line repeat it. */
export const demoRecipe = {
  method: "rectified-diffusion",
  guidance: 4,
  // Closer to the exact trajectory than 20 steps of DDIM, for three quarters of the evaluations.
  teacherSolver: "dpm++2m",
  teacherSteps: 15,
  pairs: 3072,
  atNoise: 0.35,
  lr: 4e-4,
  ema: 0.99,
  images: 320 * 64,
} as const;
