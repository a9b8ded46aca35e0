// The worker: takes questions in turn, except those that stop or hurry another.

import { message } from "../lib/message.ts";
import { methodInfos } from "../lib/methods.ts";
import { onnxSampler } from "./onnx.ts";
import type { Answer, CallName, Calls, Question } from "./protocol.ts";
import { openRuntime } from "./runtime.ts";
import { samplers } from "./sampling.ts";
import { trainer } from "./training.ts";

const scope = self as unknown as {
  onmessage: ((event: MessageEvent<Question>) => void) | null;
  postMessage(answer: Answer, transfer?: Transferable[]): void;
};

type Handlers = {
  [K in CallName]: (ask: Calls[K]["ask"], tell: (v: Calls[K]["tell"]) => void) => Promise<Calls[K]["give"]>;
};

async function handlers(): Promise<Handlers> {
  const { runtime, info } = await openRuntime();
  const sampling = samplers(runtime);
  const training = trainer(runtime);
  return {
    open: async () => info,
    methods: async () => methodInfos(),
    model: sampling.model,
    sample: sampling.sample,
    measure: sampling.measure,
    onnx: onnxSampler(runtime.ort),
    train: training.train,
    pause: training.pause,
    stop: training.stop,
  };
}

const ready = handlers();
ready.catch(() => {});

scope.onmessage = async ({ data: { id, name, ask } }) => {
  const post = (kind: "tell" | "give", value: unknown) => scope.postMessage({ id, kind, value });
  try {
    const handle = (await ready)[name] as (ask: unknown, tell: (value: unknown) => void) => Promise<unknown>;
    post("give", await handle(ask, (value) => post("tell", value)));
  } catch (error) {
    scope.postMessage({ id, kind: "fail", message: message(error) });
  }
};
