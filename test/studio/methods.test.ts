import { expect, it } from "vitest";
import { accelerateOptions } from "../../src/node/accelerateOptions.ts";
import { methodNamed as byName, presetOf as nodePreset, resolveMethod } from "../../src/node/methods.ts";
import { commandOf } from "../../studio/src/lib/command.ts";
import { fieldsOf, methodInfos, methodNamed, resolveOptions } from "../../studio/src/lib/methods.ts";
import { methodNames, TEACHER } from "../../studio/src/lib/models.ts";

const students = methodNames.filter((name) => name !== TEACHER);

it("offers the teacher and every method", () => {
  expect(methodNames).toEqual(methodInfos().map(({ name }) => name));
  expect(methodNames[0]).toBe("diffusion");
  expect(students).toHaveLength(14);
});

it.each(students)("%s resolves as --preset small does on the command line", (name) => {
  const recipe = byName(name);
  const preset = nodePreset(recipe, "small", "points");
  const here = resolveOptions(methodNamed(name), {});
  expect(here.own).toEqual(resolveMethod(recipe, {}, preset));
  const { images, lr, ema } = { ...recipe.training, ...preset } as Record<string, number>;
  expect(here.training).toMatchObject({ images, lr, ema });
});

it.each(students)("%s has a field for every option but lists, with the value that holds", (name) => {
  const recipe = methodNamed(name);
  const fields = fieldsOf(recipe);
  const { own } = resolveOptions(recipe, {});
  for (const [key, value] of Object.entries(own))
    if (!Array.isArray(value) && value !== undefined)
      expect(fields.find((field) => field.key === key)?.usual, key).toBe(String(value));
  for (const { text, flag } of fields) expect(text, flag).not.toBe("");
});

it("takes what is given, and refuses it in a sentence", () => {
  const perflow = methodNamed("perflow");
  expect(resolveOptions(perflow, { windows: "3", lr: "0.01", images: "256" })).toMatchObject({
    own: { windows: 3 },
    training: { lr: 0.01, images: 256 },
  });
  expect(() => resolveOptions(perflow, { windows: "two" })).toThrow('--windows is "two", expected a number.');
  expect(() => resolveOptions(perflow, { windows: "0" })).toThrow("--windows is 0");
  expect(() => resolveOptions(perflow, { batch: "2.5" })).toThrow("--batch is 2.5, expected a whole number above 0.");
});

it("says a command whose options the command line takes", () => {
  const command = commandOf({
    method: "perflow",
    data: { name: "moons", own: false },
    options: { windows: "8", "teacher-solver": "dpm++2m" },
    seed: 3,
  });
  expect(command).toBe(
    "fewstep accelerate teacher --method perflow --data toy:moons --preset small --teacher-solver dpm++2m --windows 8 --seed 3",
  );
  const parsed = accelerateOptions.safeParse({
    teacher: "teacher",
    method: "perflow",
    data: "toy:moons",
    preset: "small",
    windows: 8,
    teacherSolver: "dpm++2m",
  });
  expect(parsed.success).toBe(true);
  const own = commandOf({ method: TEACHER, data: { name: "drawn", own: true }, options: {}, seed: 0 });
  expect(own).toMatch(/^# Points .* no reader[^\n]*\nfewstep train --data <your points> /);
});
