// Models around a network that shows what it was asked: guidance, time input and change of form written out.

import { afterAll, describe, expect, it } from "vitest";
import { times } from "../src/clock.ts";
import { type Cond, labelColumn } from "../src/condition.ts";
import { cosine, eps, type Form, linear, logSnr, ve, velocity, vp } from "../src/core/index.ts";
import { add, cast, input, mul, reshape, type Tensor } from "../src/graph/index.ts";
import { guided, inForm, type Model, type NetworkLike, networkModel, predict } from "../src/model.ts";
import type { RowAt } from "../src/pair.ts";
import { nodeRuntime } from "../src/runtime/node.ts";

const runtime = nodeRuntime({ threads: 1 });
afterAll(() => expect(runtime.open()).toBe(0));

const [B, D] = [3, 2];
const ts = [0.2, 0.5, 0.9];
const x = Float32Array.of(1, -2, 0.5, 3, -1, 0.25);
const perSample = (value: Tensor) => reshape(value, [B, 1]);

/** x + 100·tau + 1000·label: every number of the request can be read off. */
const echo = (rows: number | null): NetworkLike<null> => ({
  sampleShape: [D],
  conditions: rows === null ? {} : { labels: labelColumn(rows) },
  apply: (_, state, tau, { labels }) => {
    const told = add(state, perSample(mul(tau, 100)));
    return labels ? add(told, perSample(mul(cast(labels, "float32"), 1000))) : told;
  },
});

async function evaluate(model: Model<null>, labels?: readonly number[]) {
  const clock = times(B);
  const given: Cond = labels ? { labels: input("labels", [B], "int64") } : {};
  const program = await runtime.compile({ y: model.apply(null, input("x", [B, D]), clock, given) });
  const feeds = { x, ...clock.feeds(ts), ...(labels ? { labels: BigInt64Array.from(labels, BigInt) } : {}) };
  const { y } = await program.run(feeds);
  await program.dispose();
  return [...(y.data as Float32Array)];
}
const wanted = (f: (x: number, t: number, sample: number) => number) =>
  [...x].map((value, i) => expect.closeTo(f(value, ts[Math.floor(i / D)], Math.floor(i / D)), 3));

describe("a network's model", () => {
  it("tells it scale·t + offset", async () => {
    const model = networkModel(echo(null), vp(), eps, { scale: 10, offset: -1 });
    expect(await evaluate(model)).toEqual(wanted((value, t) => value + 100 * (10 * t - 1)));
    expect([model.form.name, model.prediction, model.sampleShape, model.conditions]).toEqual([vp().name, eps, [D], {}]);
  });

  it("shows it the state over its norm where it was trained so", async () => {
    const form = ve({ sigmaMin: 0.02, sigmaMax: 20 });
    const seen = (normalize: boolean) => networkModel(echo(null), form, eps, { scale: 0, offset: 0, normalize });
    const norm = (t: number) => Math.sqrt(form.at(t)[0] ** 2 + form.at(t)[1] ** 2);
    expect(await evaluate(seen(true))).toEqual(wanted((value, t) => value / norm(t)));
    expect(await evaluate(seen(false))).toEqual(wanted((value) => value));
  });

  it("knows two rows at every state: the form's and the prediction's", () => {
    const model = networkModel(echo(null), cosine(), velocity, { scale: 1, offset: 0 });
    const clock = times(B);
    const state = input("x", [B, D]);
    const pair = predict(model, null, state, clock, {});
    expect(pair.a).toBe(state);
    expect(pair.clock).toBe(clock);
    expect(pair.b.shape).toEqual([B, D]);
    expect([pair.rowA(0.3), pair.rowB(0.3)]).toEqual([cosine().at(0.3), cosine().rate(0.3)]);
  });
});

describe("guidance", () => {
  const model = networkModel(echo(4), vp(), eps, { scale: 1, offset: 0 });
  const labels = [0, 2, 1];

  it("goes from the answer without a label through the one with it", async () => {
    for (const scale of [0, 2, 3.5]) {
      const found = await evaluate(guided(model, scale), labels);
      // The last label, 3, is none.
      const label = (sample: number) => 3 + scale * (labels[sample] - 3);
      expect(found).toEqual(wanted((value, t, sample) => value + 100 * t + 1000 * label(sample)));
    }
  });

  it("1 is the model itself, with or without labels", () => {
    const unconditional = networkModel(echo(null), vp(), eps, { scale: 1, offset: 0 });
    expect(guided(model, 1)).toBe(model);
    expect(guided(unconditional, 1)).toBe(unconditional);
    expect(guided(model, 2)).toMatchObject({
      conditions: { labels: labelColumn(4) },
      sampleShape: [D],
      prediction: eps,
    });
  });

  it("of a model without labels is refused", () => {
    const unconditional = networkModel(echo(null), vp(), eps, { scale: 1, offset: 0 });
    expect(() => guided(unconditional, 2)).toThrow(
      "Guidance 2 needs a conditional model; this one has no labels. Use guidance 1.",
    );
    expect(() => guided(unconditional, input("g", [B]))).toThrow(
      "Guidance needs a conditional model; this one has no labels. Use guidance 1.",
    );
    const labels = labelColumn(4, { nullLabel: false });
    expect(() => guided({ ...unconditional, conditions: { labels } }, 2)).toThrow(
      'Guidance 2 needs a conditional model; this one was trained without a "no label". Use guidance 1.',
    );
  });
});

describe("a model in another form", () => {
  const native = vp();
  const model = networkModel(echo(4), native, eps, { scale: 1, offset: 0 });
  const close = (a: number, b: number) => expect(a).toBeCloseTo(b, 9);

  it("is asked at the time of equal SNR, with the state at that time's size, and the label as it was", async () => {
    const labels = [0, 1, 2];
    const moved = inForm(model, linear());
    const at = (t: number) => native.tAt(logSnr(linear(), t));
    const found = await evaluate(moved, labels);
    const size = (form: Form, t: number) => Math.sqrt(form.at(t)[0] ** 2 + form.at(t)[1] ** 2);
    expect(found).toEqual(
      wanted((value, t, i) => (value * size(native, at(t))) / size(linear(), t) + 100 * at(t) + 1000 * labels[i]),
    );
  });

  it("keeps what its network predicts, whatever was made of that", () => {
    expect(inForm(model, linear()).own).toBe(eps);
    expect(inForm({ ...model, prediction: velocity, own: eps }, linear()).own).toBe(eps);
    expect(inForm(model, linear()).native).toBe(native);
  });

  it("reads its prediction by the rows of its own form, at that time", () => {
    const straight = networkModel(echo(null), native, velocity, { scale: 1, offset: 0 });
    const { prediction } = inForm(straight, linear());
    const row: RowAt = (t) => prediction.row(linear(), t);
    expect(prediction.name).toBe("u");
    for (const t of ts) expect(row(t)).toEqual(native.rate(native.tAt(logSnr(linear(), t))));
  });

  it("covers the times whose SNR its own form reaches, and the other form's where that reaches less", () => {
    const wide = linear();
    const moved = inForm(model, wide).form;
    // vp stops short of pure noise, the line does not.
    close(logSnr(wide, moved.tMax), logSnr(native, native.tMax));
    expect(moved.tMax).toBeLessThan(1);
    close(logSnr(wide, moved.tMin), Math.min(logSnr(native, native.tMin), logSnr(wide, wide.tMin)));
    expect([moved.name, moved.at(0.3)]).toEqual([wide.name, wide.at(0.3)]);
    const narrow: Form = { ...wide, tMin: 0.3, tMax: 0.6 };
    const inside = inForm(model, narrow).form;
    expect([inside.tMin, inside.tMax]).toEqual([0.3, 0.6]);
    const back = inForm({ ...model, form: { ...native, tMin: 0.3, tMax: 0.6 } }, wide).form;
    close(logSnr(wide, back.tMin), logSnr(native, 0.3));
    close(logSnr(wide, back.tMax), logSnr(native, 0.6));
  });
});
