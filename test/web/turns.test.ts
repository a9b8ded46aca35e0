// Order, turns of the event loop, aborting and errors of the browser runtime, on a module that is made for it.

import * as ort from "onnxruntime-web/wasm";
import { afterEach, describe, expect, it, vi } from "vitest";
import { input, mul } from "../../src/graph/index.ts";
import { freshState, train } from "../../src/run/train.ts";
import type { OrtSession } from "../../src/runtime/runtime.ts";
import { turn } from "../../src/runtime/turn.ts";
import { type OrtWeb, webRuntime } from "../../src/runtime/web.ts";
import { families } from "../support/trainings.ts";

afterEach(() => vi.unstubAllGlobals());

/** The real one, told of every run and able to fail it; a module of its own as far as runtimes know. */
function module(before: (run: number) => Promise<void> | void = () => {}, lost?: Promise<unknown>): OrtWeb {
  let runs = 0;
  const env = { wasm: ort.env.wasm, webgpu: lost ? { device: { lost } } : {} };
  return {
    env,
    Tensor: ort.Tensor as unknown as OrtWeb["Tensor"],
    InferenceSession: {
      async create(model, options) {
        const session = (await ort.InferenceSession.create(model, {
          ...options,
          executionProviders: ["wasm"],
        } as object)) as unknown as OrtSession;
        const run: OrtSession["run"] = async (feeds) => {
          await before(++runs);
          return session.run(feeds);
        };
        return { run, release: () => session.release() };
      },
    },
  };
}

const double = async (runtime: Awaited<ReturnType<typeof webRuntime>>) =>
  runtime.compile({ y: mul(input("x", [1]), 2) });
const one = { x: Float32Array.of(1) };

describe("a turn", () => {
  it.each(["setImmediate", "a message to oneself"])("lets messages in, and comes in order, by %s", async (how) => {
    if (how !== "setImmediate") vi.stubGlobal("setImmediate", undefined);
    const { port1, port2 } = new MessageChannel();
    const seen: string[] = [];
    port1.onmessage = () => seen.push("message");
    port2.postMessage(null);
    await Promise.resolve();
    expect(seen).toEqual([]);
    const turns = [1, 2, 3].map(async (i) => {
      await turn();
      await turn();
      seen.push(`turn ${i}`);
    });
    await Promise.all(turns);
    port1.close();
    expect(seen.filter((what) => what !== "message")).toEqual(["turn 1", "turn 2", "turn 3"]);
    if (how === "setImmediate") expect(seen[0]).toBe("message");
  });

  it("is taken before every program: a message stops a training within one step", async () => {
    const runtime = await webRuntime(module());
    const [{ stage, data, options }] = families;
    const stop = new AbortController();
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => stop.abort();
    let step = 0;
    for await (const event of train(stage, data, runtime, freshState(stage), { ...options, steps: 1000 })) {
      step = event.step;
      if (step === 3) port2.postMessage("stop");
      if (stop.signal.aborted) break;
    }
    port1.close();
    // Node may take an immediate before a message that came at the same time.
    expect(step).toBeLessThanOrEqual(5);
    expect(runtime.open()).toBe(0);
  });
});

describe("aborting a runtime", () => {
  it("ends what is asked for after that with the signal's reason, and releases what is open", async () => {
    const stop = new AbortController();
    const runtime = await webRuntime(module(), { signal: stop.signal });
    const [{ stage, data, options }] = families;
    const steps = train(stage, data, runtime, freshState(stage), options);
    expect((await steps.next()).value).toMatchObject({ kind: "step", step: 1 });
    stop.abort();
    await expect(steps.next()).rejects.toMatchObject({ name: "AbortError" });
    expect(runtime.open()).toBe(0);
    await expect(double(runtime)).rejects.toMatchObject({ name: "AbortError" });
  });

  it("with a reason of one's own", async () => {
    await expect(webRuntime(module(), { signal: AbortSignal.abort(new Error("closed")) })).rejects.toThrow("closed");
  });
});

it("programs do not overlap, and one that fails does not hold up the others", async () => {
  let inside = 0;
  let most = 0;
  const overlapping = module(async (run) => {
    inside++;
    most = Math.max(most, inside);
    await new Promise((done) => setTimeout(done, 2));
    inside--;
    if (run === 5) throw new Error("this one fails");
  });
  const program = await double(await webRuntime(overlapping));
  const made = await Promise.allSettled(Array.from({ length: 6 }, () => program.run(one)));
  expect(most).toBe(1);
  expect(made.filter(({ status }) => status === "rejected")).toHaveLength(1);
  await program.dispose();
});

describe("errors are sentences", () => {
  const failing = (error: unknown) =>
    module((run) => {
      // Runs 1 and 2 are the runtime's own checks.
      if (run > 2) throw error;
    });
  it.each([
    [
      new RangeError("Array buffer allocation failed"),
      /^The memory of this page's ONNX Runtime is used up \(Array buffer allocation failed\): /,
    ],
    [
      new Error("failed to call OrtRun(). ERROR_CODE: 6, ERROR_MESSAGE: std::bad_alloc"),
      /memory .* is used up .* new worker/,
    ],
    [12345678, /memory .* is used up \(12345678\)/],
    [
      new WebAssembly.RuntimeError("memory access out of bounds"),
      /^ONNX Runtime ended in this page \(memory access out of bounds\)/,
    ],
    [new Error("Something else."), /^Something else\.$/],
  ])("%s", async (error, said) => {
    const program = await double(await webRuntime(failing(error)));
    const failed = program.run(one);
    await expect(failed).rejects.toThrow(said);
    await expect(failed).rejects.toBeInstanceOf(Error);
    await program.dispose();
  });

  it("where Wasm does not start", async () => {
    const none = module();
    const create = () =>
      Promise.reject(new Error("no available backend found. ERR: [wasm] TypeError: Failed to fetch"));
    await expect(webRuntime({ ...none, InferenceSession: { create } })).rejects.toThrow(
      /^ONNX Runtime's Wasm could not be started \(no available backend .*\)\. Its \.wasm and \.mjs files have to be served/,
    );
  });

  it.each([0, -1, 1.5, Number.NaN])("threads: %s", async (threads) => {
    await expect(webRuntime(module(), { threads })).rejects.toThrow(
      `A runtime cannot have ${threads} threads; expected a whole number from 1.`,
    );
  });
});

describe("what is not there becomes a note", () => {
  it("SharedArrayBuffer", async () => {
    vi.stubGlobal("crossOriginIsolated", false);
    const { threads, notes } = await webRuntime(module(), { threads: 4 });
    expect(threads).toBe(1);
    expect(notes).toEqual([expect.stringMatching(/^One thread: the page is not cross-origin isolated/)]);
  });

  it.each([
    ["in this browser", {}, true, /^WebGPU cannot be used here: this browser does not offer it\. .* Wasm\.$/],
    ["on plain http", {}, false, /only to pages from https or localhost/],
    ["an adapter", { gpu: { requestAdapter: async () => null } }, true, /no graphics adapter/],
  ])("WebGPU %s", async (_, navigator, secure, said) => {
    vi.stubGlobal("navigator", navigator);
    vi.stubGlobal("isSecureContext", secure);
    const runtime = await webRuntime(module(), { device: "webgpu" });
    expect(runtime.device).toBe("wasm");
    expect(runtime.notes).toEqual([expect.stringMatching(said)]);
    const program = await double(runtime);
    expect((await program.run(one)).y.data[0]).toBe(2);
    await program.dispose();
  });

  it("a WebGPU that computes something else", async () => {
    vi.stubGlobal("navigator", { gpu: { requestAdapter: async () => ({}) } });
    const wrong = module();
    const { create } = wrong.InferenceSession;
    const runtime = await webRuntime(
      {
        ...wrong,
        InferenceSession: {
          async create(model, options) {
            const session = await create(model, options);
            if (options?.executionProviders?.[0] !== "webgpu") return session;
            const run: OrtSession["run"] = async (feeds) => {
              const made = await session.run(feeds);
              for (const { data } of Object.values(made)) (data as Float32Array)[0] += 0.01;
              return made;
            };
            return { ...session, run };
          },
        },
      },
      { device: "webgpu" },
    );
    expect(runtime.device).toBe("wasm");
    expect(runtime.notes.join()).toMatch(/^WebGPU cannot be used here: /);
  });
});
