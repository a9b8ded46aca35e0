// The page's side of a worker.
import type { Answer, CallName, Calls } from "./protocol.ts";

export interface Remote {
  call<K extends CallName>(
    name: K,
    ask: Calls[K]["ask"],
    tell?: (value: Calls[K]["tell"]) => void,
  ): Promise<Calls[K]["give"]>;
  /** Ends the worker and gives its memory back: Wasm's never shrinks. Open calls fail with "ended". */
  end(): void;
}

/** A worker was ended while it was asked something: not an error that a reader needs to see. */
export class Ended extends Error {
  override readonly name = "Ended";
}

export function remote(worker: Worker): Remote {
  let next = 0;
  const open = new Map<number, { give(value: never): void; fail(error: Error): void; tell(value: never): void }>();
  const failAll = (error: Error) => {
    for (const { fail } of open.values()) fail(error);
    open.clear();
  };
  worker.onmessage = ({ data }: MessageEvent<Answer>) => {
    const waiting = open.get(data.id);
    if (!waiting) return;
    if (data.kind === "tell") return waiting.tell(data.value as never);
    open.delete(data.id);
    if (data.kind === "give") waiting.give(data.value as never);
    else waiting.fail(new Error(data.message));
  };
  worker.onerror = (event) => failAll(new Error(`The worker stopped: ${event.message || "it could not be loaded"}.`));
  return {
    call(name, ask, tell = () => {}) {
      const id = next++;
      return new Promise((give, fail) => {
        open.set(id, { give, fail, tell });
        worker.postMessage({ id, name, ask });
      });
    },
    end() {
      worker.terminate();
      failAll(new Ended("The worker was ended."));
    },
  };
}

export const startWorker = (): Remote =>
  remote(new Worker(new URL("./worker.ts", import.meta.url), { type: "module", name: "fewstep" }));
