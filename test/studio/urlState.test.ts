import fc from "fast-check";
import { expect, it } from "vitest";
import { firstView, particleChoices, readView, stepChoices, tabs, writeView } from "../../studio/src/lib/urlState.ts";

const known = { sets: ["checkerboard", "moons", "own"], methods: ["diffusion", "perflow", "reflow"] };

it("has no address at first, and reads what makes no sense as at first", () => {
  expect(writeView(firstView)).toBe("");
  expect(readView("", known)).toEqual(firstView);
  const nonsense = "#tab=x&data=nowhere&seed=-1&steps=3&n=7&t=2&method=none&paths=1";
  expect(readView(nonsense, known)).toEqual(firstView);
  expect(readView("#seed=1.5&steps=&t=", known)).toEqual(firstView);
});

it("comes back from its address, whatever is shown", () => {
  const view = fc.record({
    tab: fc.constantFrom(...tabs),
    data: fc.constantFrom(...known.sets),
    seed: fc.nat(),
    steps: fc.constantFrom(...stepChoices),
    n: fc.constantFrom(...particleChoices),
    t: fc.integer({ min: 0, max: 1000 }).map((k) => k / 1000),
    paths: fc.boolean(),
    method: fc.constantFrom(...known.methods),
    options: fc.dictionary(fc.constantFrom("windows", "lr", "teacherSolver"), fc.constantFrom("4", "1e-3", "dpm++2m")),
  });
  fc.assert(
    fc.property(view, (v) => {
      expect(readView(writeView(v), known)).toEqual({ ...v, options: { ...v.options } });
    }),
  );
});
