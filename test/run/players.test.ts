// Two players: whose gradient goes where, who moves when, which averages they keep; against the same training written
// out by hand in float64.

import { afterAll, describe, expect, it } from "vitest";
import { add, mul, reshape, square, sub, sum, type Tensor } from "../../src/graph/index.ts";
import type { Player, Table } from "../../src/recipes/recipe.ts";
import { freshState, type TrainOptions, type TrainState, train } from "../../src/run/train.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { all, stageWith, usual } from "./probe.ts";

const runtime = nodeRuntime({ threads: 1 });
afterAll(() => expect(runtime.open()).toBe(0));

const BATCH = 4;
const flat = (x: Tensor) => reshape(x, [x.shape[0]]);
/** Sums of the student's two weights, the critic's three, and of their averages. */
const sums = (params: Table) => ({
  w: sum(params("student")("w", [2])),
  c: sum(params("critic")("c", [3])),
  slow: sum(params("student", "slow")("w", [2])),
  target: sum(params("critic", "target")("c", [3])),
});

const student: Player = {
  name: "student",
  spec: [{ name: "w", shape: [2], init: "zeros" }],
  start: Float32Array.of(0.5, 0.25),
  every: 2,
  averages: { slow: 0.5 },
  loss(params, draws) {
    const { w, c } = sums(params);
    return square(sub(flat(draws.data("x")), mul(w, c)));
  },
};
const critic: Player = {
  name: "critic",
  spec: [{ name: "c", shape: [3], init: "zeros" }],
  start: Float32Array.of(0.3, -0.1, 0.4),
  averages: { target: 0.25 },
  optimizer: { rate: 3, beta1: 0.5, weightDecay: 0 },
  loss(params, draws) {
    const { w, c, slow, target } = sums(params);
    return square(sub(add(flat(draws.data("x")), c), mul(w, add(slow, target))));
  },
};
const stage = stageWith([student, critic]);
const data = (step: number) => ({ x: Float32Array.from({ length: BATCH }, (_, i) => Math.sin(3 * step + i)) });
const STEPS = 8;
const options: TrainOptions = { ...usual, batch: BATCH, steps: STEPS, saveEvery: 1, clip: 0.7, ema: 0.2 };

const events = (o: Partial<TrainOptions> = {}, start = freshState(stage), of = stage) =>
  all(train(of, data, runtime, start, { ...options, ...o }));
const statesOf = async (...given: Parameters<typeof events>): Promise<TrainState[]> =>
  (await events(...given)).flatMap(({ state }) => state ?? []);

const total = (x: readonly number[]) => x.reduce((a, b) => a + b, 0);
const mean = (x: readonly number[]) => total(x) / x.length;

interface ByHand {
  updates: number;
  theta: number[];
  m: number[];
  v: number[];
  averages: Record<string, number[]>;
}
const begun = ({ start }: Player, averages: readonly string[]): ByHand => ({
  updates: 0,
  theta: [...start],
  m: [...start].map(() => 0),
  v: [...start].map(() => 0),
  averages: Object.fromEntries(averages.map((name) => [name, [...start]])),
});

/** The same training without a graph. The gradient of a loss by one weight is that by the sum of them. */
function byHand() {
  const s = begun(student, ["kept", "slow"]);
  const c = begun(critic, ["target"]);
  const move = (p: ByHand, gradient: number, rate: number, beta1: number, decay: number, limits: typeof s.averages) => {
    const norm = Math.abs(gradient) * Math.sqrt(p.theta.length);
    const g = gradient * Math.min(1, options.clip / norm);
    const k = ++p.updates;
    p.theta = p.theta.map((x, i) => {
      p.m[i] = beta1 * p.m[i] + (1 - beta1) * g;
      p.v[i] = 0.999 * p.v[i] + 0.001 * g * g;
      const step = p.m[i] / (1 - beta1 ** k) / (Math.sqrt(p.v[i] / (1 - 0.999 ** k)) + 1e-8);
      return x * (1 - rate * decay) - rate * step;
    });
    for (const [name, [limit]] of Object.entries(limits)) {
      const keep = k === 1 ? 0 : Math.min(limit, k / (9 + k));
      p.averages[name] = p.averages[name].map((x, i) => keep * x + (1 - keep) * p.theta[i]);
    }
    return norm;
  };
  const states: { student: ByHand; critic: ByHand }[] = [];
  const norms: { student?: number; critic: number }[] = [];
  const losses: { student?: number; critic: number }[] = [];
  for (let step = 1; step <= STEPS; step++) {
    const x = [...data(step - 1).x];
    const [w, k, slow, target] = [s.theta, c.theta, s.averages.slow, c.averages.target].map(total);
    const errors = { student: x.map((v) => v - w * k), critic: x.map((v) => v + k - w * (slow + target)) };
    const loss = (e: readonly number[]) => mean(e.map((v) => v * v));
    const even = step % 2 === 0;
    losses.push({ critic: loss(errors.critic), ...(even ? { student: loss(errors.student) } : {}) });
    const moved = even
      ? { student: move(s, -2 * k * mean(errors.student), 0.1, 0.9, 0.01, { kept: [0.2], slow: [0.5] }) }
      : {};
    norms.push({ ...moved, critic: move(c, 2 * mean(errors.critic), 0.3, 0.5, 0, { target: [0.25] }) });
    states.push(structuredClone({ student: s, critic: c }));
  }
  return { states, norms, losses };
}

const near = (p: ByHand) => {
  const close = (values: readonly number[]) => [...values].map((x) => expect.closeTo(x, 5));
  const { updates, theta, m, v, averages } = p;
  return {
    updates,
    theta: close(theta),
    m: close(m),
    v: close(v),
    averages: Object.fromEntries(Object.entries(averages).map(([name, values]) => [name, close(values)])),
  };
};
const plain = ({ players }: TrainState) =>
  Object.fromEntries(
    Object.entries(players).map(([name, { updates, theta, m, v, averages }]) => [
      name,
      {
        updates,
        theta: [...theta],
        m: [...m],
        v: [...v],
        averages: Object.fromEntries(Object.entries(averages).map(([key, values]) => [key, [...values]])),
      },
    ]),
  );

describe("a student and a critic", () => {
  it("are each moved by the gradient of their own loss, in their own rhythm, at their own rate", async () => {
    const { states } = byHand();
    const found = await statesOf();
    expect(found.map(plain)).toEqual(states.map((s) => ({ student: near(s.student), critic: near(s.critic) })));
    // The clipped, the unclipped, and both averages' ramp and limit occur, or less was compared than it seems.
    const { norms } = byHand();
    expect(Math.max(...norms.map((n) => n.critic))).toBeGreaterThan(options.clip);
    expect(Math.min(...norms.map((n) => n.critic))).toBeLessThan(options.clip);
  });

  it("the student stays to the byte in odd steps, and AdamW counts its own steps", async () => {
    const states = await statesOf();
    expect(states.map(({ players }) => players.student.updates)).toEqual([0, 1, 1, 2, 2, 3, 3, 4]);
    expect(states.map(({ players }) => players.critic.updates)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    const before = [freshState(stage), ...states];
    states.forEach(({ step, players: { student: now, critic: other } }, i) => {
      const was = before[i].players;
      if (step % 2 === 1) expect(now).toEqual(was.student);
      else expect(now.theta).not.toEqual(was.student.theta);
      expect(other.theta).not.toEqual(was.critic.theta);
    });
  });

  it("are told of in events: who moved, with which loss and norm; the student's last loss in between", async () => {
    const found = (await events()).filter(({ kind }) => kind === "step");
    const { norms, losses } = byHand();
    expect(found.map(({ players }) => Object.keys(players))).toEqual(
      found.map(({ step }) => (step % 2 === 0 ? ["student", "critic"] : ["critic"])),
    );
    const close = (x: number) => expect.closeTo(x, 4);
    found.forEach(({ players, loss, norm }, i) => {
      expect(players.critic).toEqual({ loss: close(losses[i].critic), norm: close(norms[i].critic) });
      const [last, of] = [losses, norms].map((values) => values[i].student ?? values[i - 1]?.student ?? Number.NaN);
      expect([loss, norm]).toEqual(i === 0 ? [Number.NaN, Number.NaN] : [close(last), close(of)]);
    });
  });

  it("keep the averages that are declared, and the student one more", async () => {
    const { players } = (await statesOf())[0];
    expect(Object.keys(players.student.averages)).toEqual(["kept", "slow"]);
    expect(Object.keys(players.critic.averages)).toEqual(["target"]);
  });

  it.each(["float32", "float16"] as const)("as two programs end where one ends, in %s", async (precision) => {
    const start = { ...freshState(stage), scale: { value: 2 ** 10, good: 0, skipped: 0 } };
    const [one, two] = [await statesOf({ precision }, start), await statesOf({ precision, split: true }, start)];
    const rounded = (states: readonly TrainState[]) =>
      states.map((s) =>
        JSON.parse(JSON.stringify(plain(s)), (_, x) => (typeof x === "number" ? expect.closeTo(x, 6) : x)),
      );
    expect(two.map(plain)).toEqual(rounded(one));
    expect(two.map(({ scale }) => scale)).toEqual(one.map(({ scale }) => scale));
  });

  it.each([false, true])("stopped in the middle they go on with the same bytes (split: %s)", async (split) => {
    for (const stop of [3, 4]) {
      const states = await statesOf({ split });
      expect(await statesOf({ split }, structuredClone(states[stop - 1]))).toEqual(states.slice(stop));
    }
  });

  it("in half precision a step that overflows moves neither", async () => {
    const start = { ...freshState(stage), scale: { value: 2 ** 76, good: 0, skipped: 0 } };
    const [first, ...rest] = await statesOf({ precision: "float16", steps: 40 }, start);
    expect(first.scale?.skipped).toBe(1);
    expect(first.players).toEqual(start.players);
    const { players, scale } = rest[rest.length - 1];
    expect(players.critic.updates).toBe(40 - (scale?.skipped ?? 0));
    expect(players.student.updates).toBeGreaterThan(0);
    expect(players.student.updates).toBeLessThan(20);
  });
});

it("a step in which nobody is due passes without one", async () => {
  const rare: Player = { ...student, every: 3, averages: {}, loss: (_, draws) => square(flat(draws.data("x"))) };
  const alone = stageWith([rare]);
  const states = await statesOf({ steps: 4 }, freshState(alone), alone);
  expect(states.map(({ step, players }) => [step, players.student.updates])).toEqual([
    [1, 0],
    [2, 0],
    [3, 1],
    [4, 1],
  ]);
});

describe("refused before anything is computed, in one sentence", () => {
  const refusal = async (players: readonly [Player, ...Player[]], state?: TrainState) => {
    const of = stageWith(players);
    const run = train(of, () => never(), runtime, state ?? freshState(of), options);
    return run.next().then(
      () => "nothing",
      (error: Error) => `${error.name}: ${error.message}`,
    );
  };

  it("everything that is wrong with the players", async () => {
    const wrong: Player = { ...critic, every: 0, averages: { target: 1, late: -0.1, no: Number.NaN } };
    const second: Player = { ...critic, every: 1.5, averages: { target: 0, late: 0.5, no: 0.9 } };
    expect(await refusal([student, wrong, second], freshState(stageWith([student, wrong])))).toBe(
      'RangeError: probe cannot be trained: "critic" moves every 0 steps, expected a whole number from 1; ' +
        'the average "target" of "critic" has the decay 1, expected 0 to below 1; ' +
        'the average "late" of "critic" has the decay -0.1, expected 0 to below 1; ' +
        'the average "no" of "critic" has the decay NaN, expected 0 to below 1; ' +
        'two players are called "critic"; "critic" moves every 1.5 steps, expected a whole number from 1.',
    );
  });

  it("a state of other players", async () => {
    const { players } = freshState(stage);
    const { student: s, critic: c } = players;
    const state = (changed: TrainState["players"]): TrainState => ({ step: 3, players: changed });
    const short = { ...s, theta: s.theta.slice(1), m: s.m.slice(1), v: s.v.slice(1) };
    expect(await refusal([student, critic], state({ student: short, judge: c }))).toBe(
      'RangeError: probe cannot be trained: the state of "student" has 1 weights, expected 2; ' +
        'the state has no player "critic"; the state has a player "judge" that this stage has not.',
    );
    expect(await refusal([student, critic], state({ student: s, critic: { ...c, averages: {} } }))).toBe(
      'RangeError: probe cannot be trained: the state of "critic" has no average "target".',
    );
  });

  it("a state of other averages, or with a vector that is cut off", async () => {
    const { players } = freshState(stage);
    const { student: s, critic: c } = players;
    const changed = { ...c, averages: { ...c.averages, late: c.theta }, v: c.v.slice(1) };
    expect(await refusal([student, critic], { step: 3, players: { student: s, critic: changed } })).toBe(
      'RangeError: probe cannot be trained: the state of "critic" has an average "late" that this stage has not; ' +
        '"v" in the state of "critic" has 2 numbers, expected 3.',
    );
  });

  it("names that mean something else to the program", async () => {
    expect(
      await refusal([
        { ...student, averages: { kept: 0.5 } },
        { ...critic, name: "critic.two" },
      ]),
    ).toBe(
      'RangeError: probe cannot be trained: "student" has the average "kept" anyway, with a decay of the training\'s; ' +
        '"critic.two" has a dot in its name.',
    );
  });

  it("a stage whose first player is no student", async () => {
    expect(await refusal([critic])).toBe(
      'RangeError: probe cannot be trained: the first player is "critic", expected "student".',
    );
  });

  it("an average or a player that a loss asks for and nobody has", async () => {
    const asks = (loss: Player["loss"]): readonly [Player, Player] => [{ ...student, loss }, critic];
    expect(await refusal(asks((params) => params("critic", "slow")("c", [3])))).toBe(
      'RangeError: critic has no average "slow" in probe; it has: target.',
    );
    expect(await refusal(asks((params) => params("teacher")("w", [2])))).toBe(
      'RangeError: There is no player "teacher" in probe; there are: student, critic.',
    );
    expect(await refusal([student, { ...critic, averages: {}, loss: (p) => p("critic", "target")("c", [3]) }])).toBe(
      'RangeError: critic has no average "target" in probe; it has: none.',
    );
  });
});

function never(): never {
  throw new Error("Data was asked for.");
}
