// What would go wrong in a run is said before any work: all of it, in one sentence, and nothing is written.

import { afterAll, describe, expect, it } from "vitest";
import { cosine, eps, type Form, linear, table, vPrediction, vp } from "../../src/core/index.ts";
import { square, type Tensor } from "../../src/graph/index.ts";
import { key } from "../../src/random.ts";
import { dmd, type Recipe, recipes, type Stage, type Start } from "../../src/recipes/index.ts";
import type { Player } from "../../src/recipes/recipe.ts";
import { startOf } from "../../src/recipes/start.ts";
import { checkStages } from "../../src/run/check.ts";
import { runJob } from "../../src/run/job.ts";
import { endOfStage, outline, stagesOf } from "../../src/run/outline.ts";
import { freshState } from "../../src/run/train.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { tinyModel } from "./helpers.ts";
import { clusters, empty, memoryStore, schedule, tinyStart } from "./memoryStore.ts";
import { stageWith } from "./probe.ts";

const runtime = nodeRuntime({ threads: 1 });
afterAll(() => expect(runtime.open()).toBe(0));

const teacher = (form: Form, prediction = eps): Start =>
  startOf({ ...tinyModel(form, prediction, 3), timeInput: { scale: 1000, offset: 0 } });
const all = recipes as unknown as readonly Recipe[];
const saidOf = (stages: readonly Stage[], start?: Start): string => {
  try {
    checkStages(stages, { batch: 3, ...(start ? { teacher: start } : {}) });
    return "";
  } catch (error) {
    return String(error);
  }
};

describe("a teacher whose eps says nothing at pure noise", () => {
  const forms: readonly (readonly [string, Form])[] = [
    ["cosine", cosine()],
    ["linear", linear()],
    ["a table that ends without any signal", table({ zeroSnr: true })],
  ];
  // Methods whose student learns u from samples of the teacher, or from data: nothing is asked at pure noise.
  const relearning = ["reflow", "instaflow", "meanflow"];
  describe.each(forms)("on %s", (name, form) => {
    it.each(
      all.map((recipe) => [recipe.name, recipe] as const),
    )("is refused by %s, or not needed", (method, recipe) => {
      const start = teacher(form);
      const options = recipe.options.parse({});
      const wanted = recipe.resolve?.(start, options) ?? options;
      const said = saidOf(
        outline(() => recipe.stages(start, wanted, key(1))),
        start,
      );
      // On straight paths nothing is learned anew: the student is the teacher.
      if (relearning.includes(method) && name !== "linear") return expect(said).toBe("");
      expect(said).toMatch(
        /^RangeError: .+ starts at pure noise, and there eps says nothing of the data on the form .+, whose alpha is 0: use a teacher that predicts v, x0 or u, or one whose form keeps some of the data at t = 1 \(vp\), or a method whose student learns u instead \(.*\)\.$/,
      );
    });
  });
  it("another prediction, or a form that keeps some signal, is welcome", () => {
    for (const start of [teacher(cosine(), vPrediction), teacher(vp()), teacher(table())])
      for (const recipe of all) {
        const options = recipe.options.parse({});
        const wanted = recipe.resolve?.(start, options) ?? options;
        const said = saidOf(
          outline(() => recipe.stages(start, wanted, key(1))),
          start,
        );
        expect([recipe.name, start.model.form.name, said]).toEqual([recipe.name, start.model.form.name, ""]);
      }
  });
});

const student: Player = {
  name: "student",
  spec: [{ name: "w", shape: [2], init: "zeros" }],
  start: Float32Array.of(0.5, 0.25),
  loss: (_, draws) => square(draws.data("x")) as Tensor,
};

describe("the stages of a run", () => {
  it("all that is wrong, of every stage, in one sentence", () => {
    const rhythm: Player = { ...student, name: "critic", every: 0 };
    const asks: Player = { ...student, loss: (p) => p("student", "target")("w", [2]) };
    const lacks: Player = { ...student, loss: (_, draws) => draws.data("noise") };
    expect(
      saidOf([stageWith([student, rhythm, rhythm]), stageWith([asks]), stageWith([lacks]), stageWith([student])]),
    ).toBe(
      'RangeError: probe cannot be trained: "critic" moves every 0 steps, expected a whole number from 1; ' +
        'two players are called "critic"; "critic" moves every 0 steps, expected a whole number from 1; ' +
        'student has no average "target" in probe; it has: kept; ' +
        'This step needs "noise" of its data, which has: x.',
    );
    expect(saidOf([stageWith([student])])).toBe("");
  });

  it("whether labels are dropped somewhere is known", () => {
    const stages = outline(() => dmd.stages(teacher(vp()), dmd.options.parse({}), key(1)));
    expect(checkStages(stages, { batch: 2 })).toEqual({ drops: false });
    const [perflow] = all;
    const windows = outline(() =>
      perflow.stages(teacher(vp()), perflow.options.parse({ predict: "ddim_eps" }), key(1)),
    );
    expect(checkStages(windows, { batch: 2 })).toEqual({ drops: true });
    expect(checkStages([...windows, ...stages], { batch: 2 })).toEqual({ drops: true });
    expect(checkStages([...stages, ...windows], { batch: 2 })).toEqual({ drops: true });
  });

  it("the same fault of two stages is told once", () => {
    const lacks = stageWith([{ ...student, loss: (_, draws) => draws.data("noise") }]);
    expect(saidOf([lacks, lacks])).toBe('RangeError: This step needs "noise" of its data, which has: x.');
  });

  it("a read that is singular at times that are drawn is a fault, and what is no RangeError is none of the method", () => {
    const at = (f: () => number): Player => ({
      ...student,
      loss: (_, draws) => draws.clock("t", () => 0.5).column(f, 1),
    });
    const throws = (error: Error) => () => {
      throw error;
    };
    expect(saidOf([stageWith([at(throws(new RangeError("Nothing is known at 0.5.")))])])).toBe(
      "RangeError: probe cannot be trained: Nothing is known at 0.5.",
    );
    expect(saidOf([stageWith([at(throws(new TypeError("f is broken.")))])])).toBe("TypeError: f is broken.");
    const broken: Player = { ...student, loss: throws(new TypeError("The loss is broken.")) };
    expect(saidOf([stageWith([broken])])).toBe("TypeError: The loss is broken.");
  });
});

describe("a run", () => {
  const made = stagesOf(dmd, tinyStart(), dmd.options.parse({ pairs: 4, teacherSteps: 1 }), key(1));
  const going = async (stages: typeof made, kept = empty()) => {
    const job = { stages, data: clusters(16), schedule: schedule({ images: 8 }), seed: 1, runtime };
    const before = structuredClone({ ...kept, writes: [] });
    const said = await runJob({ ...job, store: memoryStore(kept, runtime) })
      .next()
      .then(
        () => "",
        (error: Error) => error.message,
      );
    // Not a pair is made, not a line of the log is taken back.
    expect(kept.writes).toEqual([]);
    expect({ ...kept, writes: [] }).toEqual(before);
    return said;
  };
  it("with a later stage that cannot be trained does not begin", async () => {
    const bad = function* () {
      const stage = outline(made)[0];
      yield stage;
      yield { ...stage, name: "second", players: [stage.players[0], { ...stage.players[1], every: 0.5 }] } as Stage;
    };
    expect(await going(bad)).toMatch(/^second cannot be trained: "critic" moves every 0\.5 steps/);
  });
  it("whose players are not those that it stopped with does not go on", async () => {
    const [stage] = outline(made);
    const [first, second] = stage.players;
    const other = { ...second, name: "judge", averages: { late: 0.5 } };
    const state = { ...freshState({ players: [first, other] }), step: 1 };
    const kept = { ...empty(), progress: { stage: 0, state, seen: [] }, log: [{ kind: "step", step: 2 }] };
    expect(await going(made, kept)).toBe(
      'dmd cannot be trained: the state has no player "critic"; the state has a player "judge" that this stage has not.',
    );
  });
  it("that has everything begins", () => {
    const [stage] = outline(made);
    expect(saidOf([stage, { ...stage, name: "again" }], endOfStage(stage, stage.players[0].start))).toBe("");
  });
});
