// A training in this worker, told to the page as it goes.
import { arrayDataset, freshStart, memoryRun, openToy, type Runtime, runJob } from "fewstep/browser";
import { methodNamed, resolveOptions } from "../lib/methods.ts";
import { filesOf } from "../lib/modelFiles.ts";
import { TEACHER } from "../lib/models.ts";
import { openFiles } from "./model.ts";
import type { RunFiles, TrainAsk, TrainEvent } from "./protocol.ts";

/** Seconds between models that the page is shown. */
const SHOW = 1.2;

/** As `fewstep train --form cosine --prediction v --width 64 --depth 3` begins. */
const FRESH = { family: "mlp", config: { dim: 2, width: 64, depth: 3, classes: null } } as const;

export function trainer(runtime: Runtime) {
  let gate: Promise<void> | undefined;
  let opens: (() => void) | undefined;
  let stopping: AbortController | undefined;

  function open() {
    opens?.();
    gate = undefined;
  }

  return {
    async train(ask: TrainAsk, tell: (event: TrainEvent) => void): Promise<RunFiles> {
      if (stopping) throw new Error("A training runs already: stop it first.");
      stopping = new AbortController();
      open();
      try {
        return await run(ask, runtime, stopping.signal, tell, () => gate);
      } finally {
        stopping = undefined;
      }
    },
    async pause({ paused }: { readonly paused: boolean }): Promise<undefined> {
      if (!paused) open();
      else
        gate ??= new Promise((done) => {
          opens = done;
        });
    },
    async stop(): Promise<undefined> {
      open();
      stopping?.abort();
    },
  };
}

async function run(
  ask: TrainAsk,
  runtime: Runtime,
  signal: AbortSignal,
  tell: (event: TrainEvent) => void,
  gate: () => Promise<void> | undefined,
): Promise<RunFiles> {
  const recipe = methodNamed(ask.method);
  const { own, training } = resolveOptions(recipe, ask.options);
  const teacher = ask.method === TEACHER ? undefined : await teacherOf(ask);
  const { name, values } = ask.data;
  const made = await memoryRun({
    runtime,
    recipe,
    start: teacher?.start ?? freshStart(FRESH, { seed: ask.seed }),
    teacher,
    data: values ? arrayDataset(name, values, [2, 1, 1]) : openToy(`toy:${name}`),
    options: own,
    training,
    seed: ask.seed,
    signal,
    saveSeconds: SHOW,
    onPairs: (progress) => tell({ kind: "pairs", ...progress }),
  });
  const speed = speedometer();
  let images = 0;
  const ended = (why: "done" | "stopped") => tell({ kind: "ended", why, images });
  try {
    for await (const event of runJob(made.job)) {
      if (event.kind === "stage" || event.kind === "warning") tell(event);
      if (event.kind === "checkpoint" && event.images > 0) {
        const card = made.model()?.card;
        if (card) tell({ kind: "model", images: event.images, card, files: made.files() });
      }
      if (event.kind === "interrupted") ended("stopped");
      if (event.kind === "done") ended("done");
      if (event.kind !== "step") continue;
      const { stage, step, total, loss } = event;
      images = event.images;
      tell({ kind: "step", stage, step, images, total, loss, perSecond: speed.step() });
      const waiting = gate();
      if (!waiting) continue;
      await waiting;
      speed.again();
    }
  } catch (error) {
    // What is stopped while pairs are made ends so.
    if (!signal.aborted) throw error;
    ended("stopped");
  }
  return made.files();
}

function teacherOf({ method, teacher }: TrainAsk) {
  if (!teacher) throw new Error(`${method} needs a teacher: train one on these points first.`);
  return openFiles(filesOf(teacher, "teacher"));
}

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
