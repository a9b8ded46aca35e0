// Ctrl-C, SIGTERM and SIGHUP: said at once, heeded at the next step, and at once when they come again.
import { existsSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { type Signaled, type StopSignal, stopOnSignals, stopping, stopSignals } from "../../src/cli/signals.ts";
import { fewstep, fewstepSignaled, onlyRun, scratchOnce } from "./fewstep.ts";

const { at } = scratchOnce();
const patient = { timeout: 120_000 };

describe("stopOnSignals", () => {
  function fake(isTTY: boolean) {
    const listeners = new Map<StopSignal, () => void>();
    let [text, code] = ["", -1];
    const process: Signaled = {
      on: (signal, listener) => listeners.set(signal, listener),
      off: (signal) => listeners.delete(signal),
      exit: (n) => {
        code = n;
      },
      stderr: { isTTY, write: (more) => (text += more) },
    };
    return { process, listeners, seen: () => ({ text, code }) };
  }

  test.each(stopSignals)("%s is said once and aborts; any second signal exits with 130", (signal) => {
    const { process, listeners, seen } = fake(false);
    const stop = stopOnSignals(process);
    expect([...listeners.keys()]).toEqual(["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR2"]);
    listeners.get(signal)?.();
    expect([seen(), stop.signal.aborted]).toEqual([{ text: `${stopping}\n`, code: -1 }, true]);
    listeners.get("SIGTERM")?.();
    expect(seen()).toEqual({ text: `${stopping}\n`, code: 130 });
    stop.dispose();
    expect(listeners.size).toBe(0);
  });

  test("a command that was aborted for another reason still hears the first signal as the first", () => {
    const { process, listeners, seen } = fake(true);
    stopOnSignals(process).abort();
    listeners.get("SIGINT")?.();
    expect(seen()).toEqual({ text: `\r${stopping}\x1b[K\n`, code: -1 });
  });
});

describe.skipIf(process.platform === "win32")("processes (signals are POSIX's)", () => {
  let model: string;
  beforeAll(async () => {
    const tiny = "train --data toy:moons@64 --form linear --width 64 --depth 3 --batch 8 --images 8 --preview-every 0";
    const { code, err } = await fewstep(...tiny.split(" "), "--out", at("models"));
    expect(code, err).toBe(0);
    model = await onlyRun(at("models"));
  });

  // Work for minutes, in steps of milliseconds.
  const endless = {
    sample: () => ["sample", model, "--n", "500000", "--steps", "400", "--out", at("out/grid.png")],
    evaluate: () => ["evaluate", model, "--data", "toy:moons", "--n", "500000", "--out", at("evaluation")],
  };

  test.each([
    ["sample", "SIGINT"],
    ["sample", "SIGHUP"],
    ["evaluate", "SIGTERM"],
    ["evaluate", "SIGINT"],
  ] as const)("%s ends after %s, says so, and writes nothing", patient, async (command, signal) => {
    const ended = await fewstepSignaled(endless[command](), [signal]);
    expect(ended.code, ended.err).toBe(130);
    expect(ended.err).toContain(stopping);
    expect(ended.err).toMatch(/\nInterrupted\. Nothing was written\.\n$/);
    expect([at("out/grid.png"), at("evaluation/report.json")].filter(existsSync)).toEqual([]);
  });

  test("two at once end it with 130 without more words", patient, async () => {
    const ended = await fewstepSignaled(endless.sample(), ["SIGINT", "SIGTERM"]);
    expect([ended.code, ended.signal]).toEqual([130, null]);
    expect(ended.err).toContain(stopping);
    expect(ended.err).not.toContain("Interrupted.");
  });
});
