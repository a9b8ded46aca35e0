// A step in pieces, on one process or several, is the step in one; and a device that returns nothing is noticed.

import { afterAll, describe, expect, it } from "vitest";
import { alone } from "../../src/comm.ts";
import { uniform } from "../../src/core/index.ts";
import { add, cast, mul, reshape, square, sub, sum, type Tensor } from "../../src/graph/index.ts";
import type { Player } from "../../src/recipes/recipe.ts";
import { freshState, type TrainEvent, type TrainOptions, train } from "../../src/run/train.ts";
import type { Runtime } from "../../src/runtime/index.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { onAll } from "../support/localComms.ts";
import { all, probe, stageWith, usual } from "./probe.ts";

const runtime = nodeRuntime({ threads: 1 });
afterAll(() => expect(runtime.open()).toBe(0));

const BATCH = 8;
const flat = (x: Tensor) => reshape(x, [x.shape[0]]);
/** Depends on everything that a row has of its own: data, noise, time, a dropped label. */
const student: Player = {
  name: "student",
  spec: [{ name: "w", shape: [2], init: "zeros" }],
  start: Float32Array.of(0.5, 0.25),
  loss(params, draws) {
    const t = draws.clock("t", uniform()).column((time) => time, 1);
    const label = cast(draws.cond("dropped").labels, "float32");
    const seen = add(add(flat(draws.data("x")), flat(draws.normal("noise"))), add(t, label));
    return draws.note("apart", square(sub(seen, sum(params("student")("w", [2])))));
  },
};
const critic: Player = {
  name: "critic",
  spec: [{ name: "c", shape: [3], init: "zeros" }],
  start: Float32Array.of(0.3, -0.1, 0.4),
  every: 2,
  loss: (params, draws) => square(add(flat(draws.data("x")), sum(params("critic")("c", [3])))),
};
const stage = { ...stageWith([student, critic], { labels: true }), watch: ["apart", "absent"] };
const row = (step: number, i: number) => Math.sin(3 * step + i);
const data = (step: number, rows = { from: 0, count: BATCH }) => ({
  x: Float32Array.from({ length: rows.count }, (_, i) => row(step, rows.from + i)),
  labels: new BigInt64Array(rows.count),
});
const options: TrainOptions = { ...usual, batch: BATCH, steps: 4, saveEvery: 2, clip: 0.7, dropLabels: 0.5 };
const run = (more: Partial<TrainOptions> = {}) =>
  all(train(stage, data, runtime, freshState(stage), { ...options, ...more }));

/** What events say, numbers to six digits. */
const said = (events: readonly TrainEvent[], near = false) =>
  JSON.parse(
    JSON.stringify(
      events.map(({ kind, step, images, loss, norm, players, notes, state }) => ({
        ...{ kind, step, images, loss, norm, players, notes },
        state: state && Object.entries(state.players).map(([name, { theta, m, v }]) => [name, ...theta, ...m, ...v]),
      })),
    ),
    (_, x) => (near && typeof x === "number" ? expect.closeTo(x, 5) : x),
  );

describe("a step in pieces", () => {
  it.each([
    "float32",
    "float16",
  ] as const)("is the whole step: losses, norms, notes and states, in %s", async (precision) => {
    const whole = await run({ precision });
    expect(whole.map(({ kind }) => kind).join()).toBe("step,step,save,step,step,save");
    expect(whole[0].notes).toEqual({ apart: expect.closeTo(whole[0].loss, 5) });
    const wanted = said(whole, true);
    for (const microBatch of [1, 4]) expect(said(await run({ precision, microBatch }))).toEqual(wanted);
    for (const microBatch of [undefined, 2])
      for (const events of await onAll(2, (comm) => run({ precision, comm, microBatch })))
        expect(said(events)).toEqual(wanted);
  });

  it("of the size of the batch is the step itself, to the byte", async () => {
    const whole = said(await run());
    expect(said(await run({ microBatch: BATCH, comm: alone }))).toEqual(whole);
  });

  it("asks for the rows of every piece in turn", async () => {
    const asked: string[] = [];
    const watched = (step: number, rows = { from: 0, count: BATCH }) => {
      asked.push(`${step}: ${rows.from} + ${rows.count}`);
      return data(step, rows);
    };
    await all(train(stage, watched, runtime, freshState(stage), { ...options, steps: 2, microBatch: 4 }));
    expect(asked).toEqual(["0: 0 + 4", "0: 4 + 4", "1: 0 + 4", "1: 4 + 4"]);
  });

  it("that do not divide it is refused", async () => {
    await expect(run({ microBatch: 3 })).rejects.toThrow("--micro-batch 3 does not divide the 8 images");
  });
});

describe("programs", () => {
  /** What is compiled, with the outputs that stay on the device, and what is given back. */
  const watch = () => {
    const kept: (readonly string[])[] = [];
    const released: unknown[] = [];
    const on: Runtime = {
      ...runtime,
      compile(outputs, how) {
        kept.push(how?.keep ?? []);
        return runtime.compile(outputs, how);
      },
      release: (held) => released.push(held),
    };
    return { kept, released, on };
  };
  const vectors = (name: string) => ["theta", "m", "v"].map((part) => `${name}.${part}`);
  const [alone1, both] = [vectors("student").concat("student.average.kept"), vectors("critic")];
  const buffers = 2 * (alone1.length + both.length);
  const steps = (on: Runtime, o: Partial<TrainOptions>) =>
    all(train(stage, data, on, freshState(stage), { ...options, ...o }));

  it("are compiled once for those who are due together; the state stays on the device", async () => {
    const { kept, released, on } = watch();
    await steps(on, {});
    expect(kept).toEqual([alone1, [...alone1, ...both]]);
    expect(released).toHaveLength(buffers);
  });
  it("in two keep the gradients between them, and give them back", async () => {
    const { kept, released, on } = watch();
    await steps(on, { split: true });
    const [own, other] = ["student.gradient", "critic.gradient"];
    expect(kept).toEqual([[own], alone1, [own, other], [...alone1, ...both]]);
    expect(released).toHaveLength(buffers + 2 * 1 + 2 * 2);
  });
  it("of pieces bring the gradients to the host, where they are added up", async () => {
    const { kept, on } = watch();
    await steps(on, { microBatch: 4 });
    expect(kept).toEqual([[], alone1, [], [...alone1, ...both]]);
  });
  it("are told apart by who is due", async () => {
    const of = stageWith(
      [
        { ...student, every: 2 },
        { ...critic, every: 3 },
      ],
      { labels: true },
    );
    const { kept, on } = watch();
    const events = await all(train(of, data, on, freshState(of), { ...options, steps: 6, saveEvery: 6 }));
    const due = events.filter(({ kind }) => kind === "step").map(({ players }) => Object.keys(players).join());
    expect(due).toEqual(["", "student", "critic", "student", "", "student,critic"]);
    expect(kept).toEqual([[], alone1, both, [...alone1, ...both]]);
    const players = events.at(-1)?.state?.players;
    expect([players?.student.updates, players?.critic.updates]).toEqual([3, 2]);
  });
});

it("random numbers of another stage of a run are others", async () => {
  const losses = async (more: Partial<TrainOptions>) => (await run(more)).map(({ loss }) => loss);
  const first = await losses({});
  expect(await losses({ stage: 0 })).toEqual(first);
  expect(await losses({ stage: 1 })).not.toEqual(first);
  expect(await losses({ stage: 2 })).not.toEqual(await losses({ stage: 1 }));
});

describe("a loss of exactly 0", () => {
  const zero = { measure: ({ pair }: { pair: { a: Tensor } }) => mul(flat(pair.a), 0) };
  const still = { adamw: { beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0 } };
  /** A device whose outputs of these names stay zeros. */
  const broken = (gone: (name: string) => boolean): Runtime => ({
    ...runtime,
    async compile(outputs, how) {
      const program = await runtime.compile(outputs, how);
      return {
        ...program,
        dispose: () => program.dispose(),
        async run(feeds, into) {
          const out = await program.run(feeds, into);
          for (const [name, { data: values }] of Object.entries(out) as [string, { data: unknown }][])
            if (gone(name) && values instanceof Float32Array) values.fill(0);
          return out;
        },
      };
    },
  });
  it("with weights that move is a loss", async () => {
    expect((await all(probe(zero, runtime, { steps: 2 }))).map(({ loss }) => loss)).toEqual([0, 0, 0]);
  });
  it("with weights that stay, or are gone, is a device that returned nothing", async () => {
    const message = `The loss of the student is exactly 0 at step 1 and its weights did not move: the device ${runtime.device} returned nothing. Use another device.`;
    await expect(all(probe(zero, runtime, still))).rejects.toThrow(new Error(message));
    await expect(
      all(
        probe(
          zero,
          broken(() => true),
          {},
        ),
      ),
    ).rejects.toThrow(new Error(message));
    // Without a loss of 0 nothing is looked at: weights may stay where the rate is 0.
    const one = { measure: ({ pair }: { pair: { a: Tensor } }) => add(mul(flat(pair.a), 0), 1) };
    expect(await all(probe(one, runtime, still))).toHaveLength(4);
  });
  it("of another player is told of that player", async () => {
    const lost = broken((name) => name === "critic.loss" || name === "critic.theta");
    await expect(all(train(stage, data, lost, freshState(stage), options))).rejects.toThrow(
      "The loss of the critic is exactly 0 at step 2 and its weights did not move",
    );
  });
});

it("a loss of another player that is not finite is told of that player", async () => {
  const bad: Player = { ...critic, loss: (...given) => mul(critic.loss(...given), Number.POSITIVE_INFINITY) };
  const of = { ...stage, players: [student, bad] as const };
  await expect(all(train(of, data, runtime, freshState(of), options))).rejects.toThrow(
    /^The loss of the critic \((Infinity|NaN)\) is not a finite number at step 2\./,
  );
});
