// What the page shows, as the part of its address after "#": to be shared, and kept over a reload.

export const tabs = ["argument", "runs", "digits"] as const;
export type Tab = (typeof tabs)[number];

export const stepChoices = [1, 2, 4, 8, 64] as const;
export const particleChoices = [1024, 4096, 10_000] as const;

export interface ViewState {
  readonly tab: Tab;
  /** A shipped set of points, or "own". */
  readonly data: string;
  readonly seed: number;
  readonly steps: (typeof stepChoices)[number];
  readonly n: (typeof particleChoices)[number];
  /** 1 is noise, 0 is data. */
  readonly t: number;
  readonly paths: boolean;
  /** The method in training, and its options where they are not the preset's. */
  readonly method: string;
  readonly options: Readonly<Record<string, string>>;
}

export const firstView: ViewState = {
  tab: "argument",
  data: "checkerboard",
  seed: 0,
  steps: 4,
  n: 4096,
  t: 1,
  paths: true,
  method: "perflow",
  options: {},
};

const LARGEST_SEED = 2 ** 53 - 1;

/** Reads "#data=moons&steps=8"; what is missing or makes no sense is as at first. `sets` and `methods`: the names there are. */
export function readView(
  hash: string,
  known: { readonly sets: readonly string[]; readonly methods: readonly string[] },
): ViewState {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const number = (name: string) => {
    const text = given.get(name);
    return text === null || text.trim() === "" ? Number.NaN : Number(text);
  };
  const among = <T>(value: unknown, choices: readonly T[], otherwise: T): T =>
    choices.find((choice) => choice === value) ?? otherwise;
  const seed = number("seed");
  const t = number("t");
  const options = [...given].filter(([name, value]) => name.startsWith("o.") && value !== "");
  return {
    tab: among(given.get("tab"), tabs, firstView.tab),
    data: among(given.get("data"), known.sets, firstView.data),
    seed: Number.isInteger(seed) && seed >= 0 && seed <= LARGEST_SEED ? seed : firstView.seed,
    steps: among(number("steps"), stepChoices, firstView.steps),
    n: among(number("n"), particleChoices, firstView.n),
    t: t >= 0 && t <= 1 ? t : firstView.t,
    paths: given.get("paths") === null ? firstView.paths : given.get("paths") !== "0",
    method: among(given.get("method"), known.methods, firstView.method),
    options: Object.fromEntries(options.map(([name, value]) => [name.slice(2), value])),
  };
}

/** The address of a view: only what is not as at first. */
export function writeView(view: ViewState): string {
  const out = new URLSearchParams();
  for (const name of ["tab", "data", "seed", "steps", "n", "method"] as const)
    if (view[name] !== firstView[name]) out.set(name, String(view[name]));
  const t = Math.round(view.t * 1000) / 1000;
  if (t !== firstView.t) out.set("t", String(t));
  if (!view.paths) out.set("paths", "0");
  for (const [name, value] of Object.entries(view.options).sort()) out.set(`o.${name}`, value);
  const text = out.toString();
  return text === "" ? "" : `#${text}`;
}
