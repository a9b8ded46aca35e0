// Records three-step trainings as golden values: npx tsx scripts/makePinned.ts [--again] [case …]
// Makes the cases that test/golden/pinned lacks, of those named if any are. What is recorded stays without --again: a
// number that changes there is a training that changed. The inputs are never made again.
import { existsSync, readFileSync } from "node:fs";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type FormSpec, linear, type PredictionSpec, table, ve, vp } from "../src/core/index.ts";
import { readSafetensors, type WritableTensor, writeSafetensors } from "../src/data/safetensors.ts";
import { initialize } from "../src/nn/initialize.ts";
import { buildNetwork, collect } from "../src/nn/network.ts";
import { fold, key, normal, randint } from "../src/random.ts";
import { nodeRuntime } from "../src/runtime/node.ts";
import {
  type PinnedCase,
  type PinnedMethod,
  type PinnedTraining,
  pinnedFolder,
  pinnedInputs,
  type RecordedCase,
  recordedCases,
  stateFile,
  stateNames,
} from "../test/pinned/case.ts";
import { runCase } from "../test/pinned/runCase.ts";
import { tinyUnet } from "../test/support/tinyUnet.ts";

const STEPS = 5;
const mlp = { family: "mlp", config: { dim: 2, width: 8, depth: 1 } };
const labelled = { family: "mlp", config: { ...mlp.config, classes: 3 } };
const networks = { mlp, labelled, unet: tinyUnet };
const batches = { mlp: 8, labelled: 8, unet: 4 };

const training: Omit<PinnedTraining, "batch"> = {
  steps: 3,
  // Half the peak, the peak, the end of the cosine.
  rate: { kind: "cosine", peak: 0.02, warmup: 2, final: 0.1 },
  // The ramp is 0, 2/11, 1/4: it reaches this limit in the third step.
  ema: 0.2,
  clip: 1000,
  dropLabels: 0,
  adamw: { beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.01 },
  gradientCheckpointing: false,
  precision: "float32",
  seed: 5,
};

interface Changes {
  readonly form?: FormSpec;
  readonly prediction?: PredictionSpec;
  readonly time?: Partial<PinnedCase["time"]>;
  readonly training?: Partial<PinnedTraining>;
}

function pinned(name: string, network: keyof typeof networks, method: PinnedMethod, changes: Changes = {}): PinnedCase {
  return {
    name,
    method,
    network: networks[network],
    form: changes.form ?? table().spec,
    prediction: changes.prediction ?? { name: "eps" },
    time: { scale: 1000, offset: -1, normalize: false, ...changes.time },
    inputs: network,
    training: {
      batch: batches[network],
      ...training,
      dropLabels: network === "mlp" ? 0 : 0.5,
      // A key's bias in attention has no gradient but rounding, which AdamW would make as large as a step.
      ...(network === "unet" ? { adamw: { ...training.adamw, eps: 1e-3 } } : {}),
      ...changes.training,
    },
  };
}

const mse = { kind: "mse" };
const diffusion: PinnedMethod = { name: "diffusion", options: {} };
const flow = (times: string): PinnedMethod => ({ name: "flow-matching", options: { times } });
const windowed = { windows: 4, teacherSolver: "ddim", teacherSteps: 2, guidance: 1, atStarts: 0, distance: mse };
const perflow = (o: object = {}): PinnedMethod => ({
  name: "perflow",
  options: { ...windowed, predict: "ddim_eps", weight: "uniform", ...o },
});
const rectified = (o: object = {}): PinnedMethod => ({
  name: "rectified-diffusion",
  options: { atNoise: 0.25, distance: { kind: "pseudo-huber", c: 1e-3 }, ...o },
});
const phased = (o: object = {}): PinnedMethod => ({
  name: "rectified-diffusion-phased",
  options: { ...windowed, ...o },
});
const straight: Changes = { form: linear().spec, prediction: { name: "u" }, time: { offset: 0 } };
const v: Changes = { prediction: { name: "v" } };

const cases: readonly PinnedCase[] = [
  pinned("diffusion-eps", "mlp", diffusion),
  pinned("diffusion-eps-labels", "labelled", diffusion),
  pinned("diffusion-v", "mlp", diffusion, { ...v, form: vp().spec }),
  pinned("diffusion-v-labels", "labelled", diffusion, v),
  pinned("diffusion-edm-ve", "mlp", diffusion, {
    form: ve({ sigmaMin: 0.02, sigmaMax: 20 }).spec,
    prediction: { name: "edm", sigmaData: 0.5 },
    time: { offset: 0, normalize: true },
  }),
  pinned("flow-matching-uniform", "mlp", flow("uniform"), straight),
  pinned("flow-matching-uniform-labels", "labelled", flow("uniform"), straight),
  pinned("flow-matching-logit-normal", "mlp", flow("logit-normal"), straight),
  pinned("flow-matching-logit-normal-labels", "labelled", flow("logit-normal"), straight),
  pinned("perflow-ddim-eps", "mlp", perflow()),
  pinned("perflow-ddim-eps-labels", "labelled", perflow()),
  pinned("perflow-diff-eps", "mlp", perflow({ predict: "diff_eps" })),
  pinned("perflow-diff-eps-labels", "labelled", perflow({ predict: "diff_eps" })),
  pinned("perflow-velocity", "mlp", perflow({ predict: "velocity" })),
  pinned("perflow-velocity-labels", "labelled", perflow({ predict: "velocity", windows: 3 }), straight),
  pinned("perflow-endpoint", "mlp", perflow({ weight: "endpoint" })),
  pinned("perflow-endpoint-labels", "labelled", perflow({ weight: "endpoint", predict: "velocity" })),
  pinned("perflow-end", "mlp", perflow({ weight: "end" })),
  pinned("perflow-end-labels", "labelled", perflow({ weight: "end", windows: 3 })),
  pinned("perflow-at-starts", "mlp", perflow({ atStarts: 0.5 })),
  pinned("perflow-at-starts-labels", "labelled", perflow({ atStarts: 0.25, windows: 2 })),
  pinned("perflow-guidance-labels", "labelled", perflow({ guidance: 3 })),
  pinned("perflow-dpmpp", "mlp", perflow({ teacherSolver: "dpm++2m", teacherSteps: 3 })),
  pinned(
    "perflow-dpmpp-guidance-labels",
    "labelled",
    perflow({ teacherSolver: "dpm++2m", teacherSteps: 3, guidance: 3 }),
  ),
  pinned("perflow-huber", "mlp", perflow({ distance: { kind: "huber", delta: 0.3 } })),
  pinned("rectified-diffusion", "mlp", rectified()),
  pinned("rectified-diffusion-labels", "labelled", rectified()),
  pinned("rectified-diffusion-no-atoms", "mlp", rectified({ atNoise: 0 })),
  pinned("rectified-diffusion-no-atoms-labels", "labelled", rectified({ atNoise: 0, distance: mse })),
  pinned("rectified-diffusion-v-labels", "labelled", rectified({ distance: mse }), v),
  pinned("rectified-diffusion-prediction", "mlp", rectified({ compare: "prediction" })),
  pinned("rectified-diffusion-prediction-labels", "labelled", rectified({ compare: "prediction", distance: mse })),
  pinned("phased", "mlp", phased()),
  pinned("phased-uniform", "mlp", phased({ weight: "uniform" })),
  pinned("phased-uniform-labels", "labelled", phased({ weight: "uniform", atStarts: 0.25 })),
  pinned("phased-labels", "labelled", phased({ atStarts: 0.5 })),
  pinned("phased-guidance-labels", "labelled", phased({ guidance: 3, teacherSolver: "dpm++2m", teacherSteps: 3 })),
  pinned("perflow-unet", "unet", perflow({ guidance: 2, atStarts: 0.25 })),
  pinned("rectified-diffusion-unet", "unet", rectified()),
  pinned("clipped", "labelled", perflow(), { training: { clip: 0.05 } }),
  pinned("checkpointing", "labelled", perflow({ weight: "endpoint" }), { training: { gradientCheckpointing: true } }),
  pinned("five-steps", "labelled", diffusion, {
    training: {
      steps: 5,
      rate: { kind: "cosine", peak: 0.02, warmup: 1, final: 0 },
      ema: 0.999,
      adamw: { beta1: 0.8, beta2: 0.95, eps: 1e-4, weightDecay: 0.5 },
    },
  }),
  pinned("constant-rate", "mlp", diffusion, {
    training: { rate: { kind: "constant", peak: 0.01, warmup: 2, final: 0.1 } },
  }),
  pinned("half", "labelled", perflow(), { training: { precision: "float16", lossScale: 1024 } }),
  pinned("half-skipped", "labelled", diffusion, { training: { precision: "float16", lossScale: 2 ** 17 } }),
];

/** Replaces a file in one move. */
async function save(path: string, content: string | Uint8Array): Promise<void> {
  await writeFile(`${path}.tmp`, content);
  await rename(`${path}.tmp`, path);
}

/** Weights with no zeros among them, the student's off the teacher's, and data. */
function inputsOf(name: keyof typeof networks): Record<string, WritableTensor> {
  const network = buildNetwork(networks[name]);
  const spec = collect(network);
  const seed = fold(key(17), name);
  const random = (part: string, scale: number, shape: readonly number[]) =>
    normal(
      fold(seed, part),
      shape.reduce((a, b) => a * b, 1),
    ).map((x) => scale * x);
  const teacher = initialize(spec, fold(seed, "weights"));
  random("teacher", 0.2, [teacher.length]).forEach((x, i) => {
    teacher[i] += x;
  });
  const off = random("student", 0.1, [teacher.length]);
  const shape = [STEPS, batches[name], ...network.sampleShape];
  const tensors: Record<string, WritableTensor> = {
    teacher: { shape: [teacher.length], data: teacher },
    start: { shape: [teacher.length], data: teacher.map((x, i) => x + off[i]) },
    x: { shape, data: random("x", 0.6, shape) },
    noise: { shape, data: random("noise", 1, shape) },
    labels: {
      shape: shape.slice(0, 2),
      data: BigInt64Array.from(
        randint(fold(seed, "labels"), shape[0] * shape[1], (network.conditions.labels?.rows ?? 2) - 1),
        BigInt,
      ),
    },
  };
  return Object.fromEntries(Object.entries(tensors).map(([part, tensor]) => [`${name}.${part}`, tensor]));
}

await mkdir(pinnedFolder, { recursive: true });
const inputsFile = join(pinnedFolder, "inputs.safetensors");
const had = existsSync(inputsFile)
  ? readSafetensors(readFileSync(inputsFile)).tensors
  : new Map<string, WritableTensor>();
const inputs = new Map<string, WritableTensor>(had);
for (const name of Object.keys(networks) as (keyof typeof networks)[])
  if (!had.has(`${name}.start`)) for (const [part, tensor] of Object.entries(inputsOf(name))) inputs.set(part, tensor);
if (inputs.size > had.size) await save(inputsFile, writeSafetensors(inputs));

const casesFile = join(pinnedFolder, "cases.json");
const recorded = new Map((existsSync(casesFile) ? recordedCases() : []).map((c) => [c.name, c]));
const again = process.argv.includes("--again");
const named = process.argv.slice(2).filter((name) => name !== "--again");
for (const name of named)
  if (!cases.some((c) => c.name === name))
    throw new Error(`There is no case ${name}: ${cases.map((c) => c.name).join(", ")}.`);
const runtime = nodeRuntime({ threads: 1 });
for (const made of cases) {
  const known = recorded.get(made.name);
  if ((named.length > 0 && !named.includes(made.name)) || (known && !again)) continue;
  const { losses, norms, rates, ...state } = await runCase(made, pinnedInputs(made), runtime);
  const tensors = Object.fromEntries(
    stateNames.map((part) => [part, { shape: [state[part].length], data: state[part] }]),
  );
  await save(stateFile(made.name), writeSafetensors(tensors));
  const finite = norms.map((norm) => (Number.isFinite(norm) ? norm : null));
  recorded.set(made.name, { ...made, losses, norms: finite, rates } satisfies RecordedCase);
  console.log(
    `${made.name}: losses ${losses.map((x) => x.toPrecision(4)).join(", ")}; norms ${norms.map((x) => x.toPrecision(4)).join(", ")}`,
  );
}
const list = cases.flatMap(({ name }) => recorded.get(name) ?? []);
await save(casesFile, `[\n${list.map((c) => JSON.stringify(c)).join(",\n")}\n]\n`);
