// A training in this worker: fewstep's own job over a store that keeps everything in memory, told to the page as it goes.
import {
  arrayDataset,
  buildNetwork,
  CARD_FORMAT,
  type Card,
  collect,
  cosine,
  type Dataset,
  describeModel,
  fold,
  type JobEvent,
  key,
  networkModel,
  openToy,
  type Pairs,
  type Runtime,
  randomWeights,
  runJob,
  type Stage,
  type Start,
  type Store,
  sampler,
  samplingGrid,
  sha256,
  solverByName,
  stagesOf,
  startOf,
  teacherPairs,
  version,
  vPrediction,
} from "fewstep/browser";
import { turn } from "../lib/message.ts";
import { flagOf, methodNamed, type Resolved, resolveOptions } from "../lib/methods.ts";
import { TEACHER } from "../lib/models.ts";
import { openModel, weightsFile } from "./model.ts";
import type { RunRecord, TrainAsk, TrainEvent } from "./protocol.ts";

/** Seconds between models that the page is shown. */
const SHOW = 1.2;

export function trainer(runtime: Runtime) {
  let gate: Promise<void> | undefined;
  let opens: (() => void) | undefined;
  let stopping: AbortController | undefined;

  async function train(ask: TrainAsk, tell: (event: TrainEvent) => void): Promise<RunRecord> {
    if (stopping) throw new Error("A training runs already: stop it first.");
    const controller = new AbortController();
    stopping = controller;
    gate = undefined;
    try {
      return await run(ask, runtime, controller.signal, tell, () => gate);
    } finally {
      stopping = undefined;
    }
  }

  return {
    train,
    async pause({ paused }: { readonly paused: boolean }) {
      if (paused && !gate) {
        gate = new Promise((open) => {
          opens = open;
        });
      } else if (!paused) {
        opens?.();
        gate = undefined;
      }
      return undefined;
    },
    async stop() {
      opens?.();
      gate = undefined;
      stopping?.abort();
      return undefined;
    },
  };
}

async function run(
  ask: TrainAsk,
  runtime: Runtime,
  signal: AbortSignal,
  tell: (event: TrainEvent) => void,
  gate: () => Promise<void> | undefined,
): Promise<RunRecord> {
  const recipe = methodNamed(ask.method);
  const resolved = resolveOptions(recipe, ask.options);
  const teacher = ask.method === TEACHER ? fresh(ask.seed) : given(ask);
  const wanted = recipe.resolve?.(teacher, resolved.own) ?? resolved.own;
  checkNeeds(recipe.needs(wanted), ask);
  const stages = stagesOf(recipe, teacher, wanted, fold(key(ask.seed), "recipe"));
  const data: Dataset = ask.data.values
    ? arrayDataset(ask.data.name, ask.data.values, [2, 1, 1])
    : openToy(`toy:${ask.data.name}`);
  const { training } = resolved;
  const rate = { kind: training.decay, peak: training.lr, warmup: training.warmup, final: 0.1 } as const;
  const base = ask.teacher ? await sha256(bytesOf(teacher.theta)) : null;
  const options = record(ask, resolved, wanted);
  const log: object[] = [];
  const { perImage } = recipe.teacherNfe(wanted);
  const cardOf = (stage: Stage, images: number, pairNfe: number): Card => ({
    format: CARD_FORMAT,
    library: version,
    ...describeModel(stage),
    sampler: stage.sampler,
    guidance: { convention: "null + g*(cond - null)", baked: 1 },
    recipe: { method: recipe.name, options },
    base,
    imagesSeen: images,
    teacherNfe: Math.round(images * perImage + pairNfe),
    seed: ask.seed,
  });
  // Results of finished stages, which later ones go on from.
  const store: Store = {
    load: async () => undefined,
    save: async () => {},
    loadResult: async () => {
      throw new Error("A training in the page begins at its beginning.");
    },
    saveResult: async () => {},
    async saveModel(stage, theta, done) {
      const pairNfe = done.stages.reduce((sum, s) => sum + s.pairNfe, 0);
      const made = weightsFile(stage.players[0].spec, theta, cardOf(stage, done.images, pairNfe));
      if (done.images > 0) tell({ kind: "model", images: done.images, ...made });
      tell({ kind: "record", options, log: [...log] });
    },
    pairs: (source) => makePairs(source, ask.seed, runtime, signal, tell, gate),
    log: async (event) => {
      log.push(event);
    },
    rewind: async () => {},
  };
  const schedule = {
    ...training,
    rate,
    precision: "float32" as const,
    gradientCheckpointing: false,
    saveEvery: training.images,
    previewEvery: 0,
  };
  const speed = speedometer();
  let images = 0;
  const follow = (event: JobEvent): void => {
    if (event.kind === "stage") tell(event);
    else if (event.kind === "warning") tell(event);
    else if (event.kind === "step") {
      const { stage, step, total, loss } = event;
      images = event.images;
      tell({ kind: "step", stage, step, images, total, loss, perSecond: speed.step() });
    }
  };
  try {
    for await (const event of runJob({
      stages,
      data,
      schedule,
      seed: ask.seed,
      runtime,
      store,
      signal,
      saveSeconds: SHOW,
    })) {
      follow(event);
      if (event.kind === "interrupted") tell({ kind: "ended", why: "stopped", images });
      if (event.kind === "done") tell({ kind: "ended", why: "done", images: event.images });
      // So that Stop and Pause are heard.
      await turn();
      const waiting = gate();
      if (waiting && event.kind === "step") {
        await waiting;
        speed.again();
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    tell({ kind: "ended", why: "stopped", images });
  }
  return { options, log };
}

/** A network that has learned nothing, as `fewstep train --form cosine --prediction v --width 64 --depth 3` begins. */
function fresh(seed: number): Start {
  const network = buildNetwork({ family: "mlp", config: { dim: 2, width: 64, depth: 3, classes: null } });
  const timeInput = { scale: 1000, offset: 0 };
  const model = networkModel(network, cosine(), vPrediction, timeInput);
  const spec = collect(network);
  return startOf({ model, network, timeInput, spec, theta: randomWeights(spec, seed) });
}

function given({ method, teacher }: TrainAsk): Start {
  if (!teacher) throw new Error(`${method} needs a teacher: train one on these points first.`);
  return openModel(teacher).start;
}

function checkNeeds(needs: readonly string[], { method }: TrainAsk): void {
  if (needs.includes("guidance") || needs.includes("classes"))
    throw new Error(`${method} with guidance needs a teacher with classes, and points have none: use guidance 1.`);
}

function record(ask: TrainAsk, { training }: Resolved, wanted: Readonly<Record<string, unknown>>) {
  const all: Record<string, unknown> = {
    ...(ask.method === TEACHER
      ? { form: "cosine", prediction: "v", network: "mlp", width: 64, depth: 3 }
      : { method: ask.method, preset: "small", teacher: ask.teacher?.name }),
    ...wanted,
    ...training,
    data: ask.data.values ? ask.data.name : `toy:${ask.data.name}`,
    precision: "float32",
  };
  const set = Object.entries(all).filter(([, value]) => value !== undefined);
  const named = set.map(([name, value]): [string, unknown] => [flagOf(name), value]);
  return Object.fromEntries(named.sort(([a], [b]) => (a < b ? -1 : 1)));
}

async function makePairs(
  source: Parameters<Store["pairs"]>[0],
  seed: number,
  runtime: Runtime,
  signal: AbortSignal,
  tell: (event: TrainEvent) => void,
  gate: () => Promise<void> | undefined,
): Promise<Pairs> {
  const { model, params } = source.teacher;
  const own = await sampler(model, params, runtime, Math.min(1024, source.pairs), { guidance: source.guidance });
  const times = samplingGrid(model.form, source.teacher.sampler.grid, source.steps, model.prediction);
  const x = new Float32Array(2 * source.pairs);
  const noise = new Float32Array(2 * source.pairs);
  const plan = { n: source.pairs, perShard: own.batch, seed, solver: solverByName(source.solver), times };
  try {
    tell({ kind: "pairs", done: 0, total: source.pairs });
    for await (const part of teacherPairs(own, plan)) {
      x.set(part.x, 2 * part.shard * own.batch);
      noise.set(part.noise, 2 * part.shard * own.batch);
      tell({ kind: "pairs", done: Math.min(source.pairs, (part.shard + 1) * own.batch), total: source.pairs });
      await turn();
      await gate();
      signal.throwIfAborted();
    }
  } finally {
    await own.dispose();
  }
  return { x, noise, cond: {} };
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** Steps per second over the last seconds. */
function speedometer(): { step(): number; again(): void } {
  let marks: number[] = [];
  return {
    step() {
      const now = performance.now();
      marks.push(now);
      while (marks.length > 2 && now - marks[0] > 3000) marks.shift();
      return marks.length < 2 ? 0 : ((marks.length - 1) * 1000) / (now - marks[0]);
    },
    again() {
      marks = [];
    },
  };
}
