// One thing at a time, and a turn of the event loop before each: a module of ONNX Runtime for pages, where runs may not
// overlap (they share a stack).

import type { OrtModule, OrtSession } from "./runtime.ts";
import { turn } from "./turn.ts";
import { graphicsFailure, lostDevice, webFailure } from "./webFailure.ts";

/** What all runtimes of a module share. */
export interface ModuleState {
  /** Settled when nothing runs. */
  last: Promise<unknown>;
  /** Chosen by its first runtime. */
  threads?: number;
  /** What ended the graphics device. */
  lost?: Error;
  /** Ends the run on the graphics device that is under way. */
  interrupt?: (error: Error) => void;
  watched?: boolean;
  /**
   * The first session on the graphics device that is done with, which stays: ONNX Runtime destroys the device with its last
   * session, and never makes another. It is the tiny program that asks whether results are written in place.
   */
  kept?: OrtSession;
}

const states = new WeakMap<OrtModule, ModuleState>();

export function stateOf(ort: OrtModule): ModuleState {
  const state = states.get(ort) ?? { last: Promise.resolve() };
  states.set(ort, state);
  return state;
}

export interface Orderly {
  readonly signal?: AbortSignal;
  /** Where the module keeps its graphics device once there is one; given for a runtime on that. */
  readonly graphics?: { readonly device?: unknown };
}

/** The same module. Errors are sentences; after `signal` is aborted nothing but releasing is done. */
export function orderly(ort: OrtModule, state: ModuleState, { signal, graphics }: Orderly): OrtModule {
  const queue = <T>(act: () => Promise<T>): Promise<T> => {
    const done = state.last.then(async () => {
      await turn();
      return await act();
    });
    state.last = done.catch(() => undefined);
    return done;
  };
  const ask = <T>(act: () => Promise<T>, failed = webFailure): Promise<T> =>
    queue(async () => {
      signal?.throwIfAborted();
      if (graphics && state.lost) throw state.lost;
      try {
        return await (graphics ? interruptible(state, act) : act());
      } catch (error) {
        throw failed(error);
      }
    });
  return {
    sentences: true,
    Tensor: ort.Tensor,
    InferenceSession: {
      async create(model, options) {
        const session = await ask(
          () => ort.InferenceSession.create(model, options),
          graphics ? graphicsFailure : webFailure,
        );
        if (graphics) watch(state, graphics.device);
        return {
          run: (feeds, fetches) => ask(() => (fetches ? session.run(feeds, fetches) : session.run(feeds))),
          // What has ended already has nothing left to release.
          release: () =>
            queue(async () => {
              if (graphics && !state.kept) state.kept = session;
              else if (!(graphics && state.lost)) await session.release();
            }),
          endProfiling: () => session.endProfiling?.(),
          // What `openForeign` asks of it.
          ...described(session),
        } satisfies OrtSession;
      },
    },
  };
}

function described(session: OrtSession): object {
  const { inputMetadata, outputMetadata } = session as { inputMetadata?: unknown; outputMetadata?: unknown };
  return { inputMetadata, outputMetadata };
}

/** A run on a lost device may never end by itself. */
const interruptible = <T>(state: ModuleState, act: () => Promise<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    state.interrupt = reject;
    act().then(resolve, reject);
  });

function watch(state: ModuleState, device: unknown): void {
  if (state.watched || !device) return;
  state.watched = true;
  void Promise.resolve(device as { readonly lost?: Promise<{ readonly message?: string; readonly reason?: string }> })
    .then((found) => found.lost)
    .then((info) => {
      if (!info) return;
      state.lost = new Error(lostDevice([info.reason, info.message].filter(Boolean).join(": ")));
      state.interrupt?.(state.lost);
    });
}
