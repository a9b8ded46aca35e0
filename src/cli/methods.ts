// What `fewstep accelerate` can do: the options of each method with their defaults, and the plan they make.
import { z } from "zod";
import type { DistanceSpec } from "../objectives/distances.ts";
import { perflow } from "../recipes/perflow.ts";
import type { Plan, Teacher } from "../recipes/plan.ts";
import { rectifiedDiffusion } from "../recipes/rectifiedDiffusion.ts";
import { rectifiedDiffusionPhased } from "../recipes/rectifiedDiffusionPhased.ts";
import { UsageError } from "./failure.ts";
import { flagName } from "./options.ts";

const count = z.int().positive();

/** Options that only some methods have; unset, they take the method's default. */
export const methodOptions = {
  windows: count.optional().describe("Windows that [0, 1] is cut into."),
  teacherSteps: count.optional().describe("The teacher's steps: per window, or per pair."),
  teacherSolver: z.enum(["ddim", "dpm++2m"]).optional().describe("The teacher's solver."),
  guidance: z.number().optional().describe("The teacher's guidance; other than 1 it is baked into the student."),
  predict: z
    .enum(["ddim_eps", "diff_eps", "velocity"])
    .optional()
    .describe("What the student predicts; default the closest to the teacher."),
  weight: z.enum(["uniform", "endpoint"]).optional().describe("Weight of times in the loss."),
  atStarts: z.number().min(0).max(1).optional().describe("Share of times at the windows' starts."),
  atNoise: z.number().min(0).max(1).optional().describe("Share of times at pure noise."),
  distance: z.enum(["mse", "pseudo-huber", "huber"]).optional().describe("How errors are measured."),
  distanceScale: z.number().positive().optional().describe("The error at which a Huber distance bends."),
  pairs: count.optional().describe("Pairs that the teacher makes beforehand."),
  pairsMb: z.number().positive().optional().describe("Most megabytes of disk for them."),
  pairsDir: z
    .string()
    .optional()
    .describe("Where they are kept and shared; default inside the run.")
    .meta({ value: "dir" }),
};
const methodSchema = z.object(methodOptions);
type MethodOptions = z.output<typeof methodSchema>;
type MethodKey = keyof MethodOptions;

const phased = {
  windows: 4,
  teacherSteps: 8,
  teacherSolver: "ddim",
  guidance: 1,
  atStarts: 0,
  distance: "mse",
  distanceScale: 1e-3,
} as const;

/** Defaults; a method has exactly these options. `undefined` follows from the teacher or from other options. */
const defaults = {
  perflow: { ...phased, predict: undefined, weight: "uniform" },
  "rectified-diffusion": {
    teacherSteps: 50,
    teacherSolver: "ddim",
    guidance: 1,
    atNoise: 0.25,
    distance: "pseudo-huber",
    distanceScale: 1e-3,
    pairs: 4096,
    pairsMb: undefined,
    pairsDir: undefined,
  },
  "rectified-diffusion-phased": { ...phased, teacherSteps: 10 },
} satisfies Readonly<Record<string, Partial<MethodOptions>>>;

/** lr and ema where they are not given, and the budget in images. */
export const trainingDefaults: Readonly<Record<Method, { lr: number; ema: number; images: number }>> = {
  perflow: { lr: 1e-4, ema: 0.99, images: 32_000 },
  "rectified-diffusion": { lr: 1.5e-4, ema: 0.99, images: 32_000 },
  "rectified-diffusion-phased": { lr: 1e-4, ema: 0.99, images: 32_000 },
};

export type Method = keyof typeof defaults;
export const methods = Object.keys(defaults) as readonly Method[];

/** Names that are agreed on and not there yet. */
const later = [
  "rectified-diffusion-cd",
  "reflow",
  "instaflow",
  "consistency",
  "lcm",
  "progressive",
  "dmd",
  "swiftbrush",
  "adversarial",
];

/** Throws UsageError for a method that this version lacks. */
export function methodNamed(name: string): Method {
  const found = methods.find((method) => method === name);
  if (found) return found;
  const why = later.includes(name) ? "is not in this version" : "is no method";
  throw new UsageError(`--method ${name} ${why}; there are: ${methods.join(", ")}.`);
}

/** The options of a method with its defaults. Throws UsageError for one that it does not have. */
export function resolveMethod(method: Method, given: MethodOptions): MethodOptions {
  const own: Partial<MethodOptions> = defaults[method];
  const keys = Object.keys(methodOptions) as MethodKey[];
  for (const key of keys)
    if (given[key] !== undefined && !(key in own))
      throw new UsageError(
        `--${flagName(key)} does not belong to ${method}, which has: ${Object.keys(own)
          .map((k) => `--${flagName(k)}`)
          .join(", ")}.`,
      );
  const set = Object.fromEntries(keys.filter((k) => given[k] !== undefined).map((k) => [k, given[k]]));
  return { ...own, ...set };
}

/** The prediction that a teacher's network is closest to; at pure noise, where eps says nothing of the data, velocity. */
const inherited = ({ model: { form, prediction } }: Teacher): "ddim_eps" | "velocity" =>
  prediction.name === "u" || form.at(form.tMax)[0] === 0 ? "velocity" : "ddim_eps";

export function predictOf(method: Method, options: MethodOptions, teacher: Teacher): MethodOptions {
  return method === "perflow" ? { ...options, predict: options.predict ?? inherited(teacher) } : options;
}

/** The plan of resolved options. */
export function planOf(method: Method, teacher: Teacher, o: MethodOptions): Plan {
  const need = <K extends MethodKey>(key: K): NonNullable<MethodOptions[K]> => {
    const value = o[key];
    if (value === undefined || value === null) throw new UsageError(`--${flagName(key)} is missing for ${method}.`);
    return value as NonNullable<MethodOptions[K]>;
  };
  const distance = distanceOf(need("distance"), need("distanceScale"));
  if (method === "rectified-diffusion") return rectifiedDiffusion(teacher, { atNoise: need("atNoise"), distance });
  const shared = {
    windows: need("windows"),
    teacherSolver: need("teacherSolver"),
    teacherSteps: need("teacherSteps"),
    guidance: need("guidance"),
    atStarts: need("atStarts"),
    distance,
  };
  if (method === "rectified-diffusion-phased") return rectifiedDiffusionPhased(teacher, shared);
  return perflow(teacher, { ...shared, predict: need("predict"), weight: need("weight") });
}

function distanceOf(kind: DistanceSpec["kind"], scale: number): DistanceSpec {
  if (kind === "mse") return { kind };
  return kind === "huber" ? { kind, delta: scale } : { kind, c: scale };
}
