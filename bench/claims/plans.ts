// The runs that the claims ask for. All are in the plane, from one teacher per seed; claims share the runs that they have in
// common, since a run is kept under a hash of what it is.

/** An entry of a plan of `fewstep compare`. */
export interface Entry {
  readonly method: string;
  readonly name: string;
  readonly options?: Readonly<Record<string, unknown>>;
  readonly teacher?: string;
  readonly student?: string;
  readonly guidance?: number;
  readonly steps?: readonly number[];
}

export interface Claimed {
  readonly title: string;
  readonly data: string;
  readonly teacher: string | { readonly train: Readonly<Record<string, unknown>> };
  readonly methods: readonly Entry[];
  readonly steps: readonly number[];
  readonly curve?: number;
  readonly options?: Readonly<Record<string, unknown>>;
}

export const seeds = [0, 1, 2];
const BATCH = 128;
export const IMAGES = 600 * BATCH;

const teacher = {
  train: {
    form: "vp",
    network: "mlp",
    width: 64,
    depth: 3,
    images: 800 * 256,
    batch: 256,
    lr: 2e-3,
    ema: 0.99,
    warmup: 50,
  },
};
export const moons = { data: "toy:moons", teacher } as const;
export const labeled = { data: "toy:moons+classes", teacher } as const;

/** What all plans have in common. */
export const common = {
  preset: "small",
  budget: { images: IMAGES },
  seeds,
  reference: "test",
  metrics: ["sliced-wasserstein", "endpoint"],
  n: 2000,
  batch: 1000,
  teacherSteps: 50,
  pathSteps: 40,
  options: { batch: BATCH },
} as const;

/** As `fewstep compare` takes it. */
export const planOf = (plan: Claimed) => ({
  ...common,
  curve: 0,
  ...plan,
  options: { ...common.options, ...plan.options },
});

const pairs = { pairs: 4096, "teacher-steps": 25 };
const windows = { "teacher-steps": 4, "teacher-solver": "dpm++2m" };
const entry = (
  method: string,
  name: string,
  options: Record<string, unknown> = {},
  more: Partial<Entry> = {},
): Entry => ({
  method,
  name,
  options,
  ...more,
});

export const RD = entry("rectified-diffusion", "RD", pairs);
export const RF = entry("reflow", "RF, naive start", { ...pairs, start: "naive" });
export const RF_SNR = entry("reflow", "RF, SNR-matched", { ...pairs, start: "snr-matched" });
export const INSTAFLOW = entry("instaflow", "InstaFlow", { ...pairs, start: "naive" });
export const RD_CD = entry("rectified-diffusion-cd", "RD (CD)", pairs);
export const CD = entry("rectified-diffusion-cd", "CD of the teacher", { rectify: 0 });
export const PERFLOW = entry("perflow", "PeRFlow", windows);
export const PERFLOW_END = entry("perflow", "chord, end loss", { ...windows, weight: "end" });
export const PHASED = entry("rectified-diffusion-phased", "RD (Phased)", windows);
export const PHASED_EPS = entry("rectified-diffusion-phased", "first order, eps loss", {
  ...windows,
  weight: "uniform",
});
export const DIFF_EPS = entry("perflow", "diff_eps", { ...windows, predict: "diff_eps" });
export const VELOCITY = entry("perflow", "velocity", { ...windows, predict: "velocity" });
export const LCM = entry("lcm", "LCM");

const exact = (form: string, prediction: string) =>
  `exact:toy:moons@1024?width=0.05&form=${form}&prediction=${prediction}`;
const fresh = "fresh?width=64&depth=3";
/** Rectified Diffusion of the exact teacher on a form; all predict the data, so that only the form differs. */
export const onForm = (form: string): Entry =>
  entry("rectified-diffusion", form, pairs, { teacher: exact(form, "x0"), student: fresh });
export const onTable = (name: string, form: string, options: Record<string, unknown>): Entry =>
  entry("rectified-diffusion", name, { ...pairs, ...options }, { teacher: exact(form, "eps"), student: fresh });
export const named = (one: Entry, name: string, more: Partial<Entry> = {}): Entry => ({ ...one, ...more, name });
