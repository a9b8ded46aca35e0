import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { decideLabels, type LabelFacts, type Labels } from "../../src/diffusers/classes.ts";

describe("which rows are classes", () => {
  test.each<[string, LabelFacts, Partial<Labels>]>([
    ["no classes", { rows: null }, { classes: 0, nullLabel: null }],
    ["as many as the data has: all are classes", { rows: 10, dataClasses: 10 }, { classes: 10, nullLabel: null }],
    ["one more than the data has: the last means none", { rows: 11, dataClasses: 10 }, { classes: 10, nullLabel: 10 }],
    [
      "the user goes before the data",
      { rows: 11, dataClasses: 10, nullClass: false },
      { classes: 11, nullLabel: null },
    ],
    ["the user goes before the file", { rows: 11, written: null, nullClass: true }, { classes: 10, nullLabel: 10 }],
    ["the file goes before the data", { rows: 11, written: 10, dataClasses: 4 }, { classes: 10, nullLabel: 10 }],
    ["written: none", { rows: 11, written: null, dataClasses: 10 }, { classes: 11, nullLabel: null }],
    ["one row, one class", { rows: 1, dataClasses: 1 }, { classes: 1, nullLabel: null }],
  ])("%s", (_, facts, labels) => {
    const decided = decideLabels(facts);
    expect(decided).toEqual(labels);
  });
  test("nothing says it: every row is a class, as in diffusers, and a note says so", () => {
    const { note, ...labels } = decideLabels({ rows: 10 }, "teacher");
    expect(labels).toEqual({ classes: 10, nullLabel: null });
    expect(note).toMatch(/^teacher has num_class_embeds 10: read as 10 classes without a null class/);
  });
  test.each<[LabelFacts, RegExp]>([
    [{ rows: 10, dataClasses: 11 }, /data has 11 classes, but The teacher only 10/],
    [{ rows: 10, dataClasses: 10, nullClass: true }, /has 9 and a null class.*or say that it has no null class/],
    [{ rows: 100, dataClasses: 10 }, /100 rows.*10 classes, so nothing tells.*"_null_label"/],
    [{ rows: 10, written: 3 }, /"_null_label": 3 with num_class_embeds 10. Expected 9/],
    [{ rows: 10, written: "9" }, /"_null_label": "9"/],
    [{ rows: 1, nullClass: true }, /no class would be left/],
    [{ rows: null, nullClass: true }, /has no classes, so it has no null class/],
  ])("%j is refused", (facts, message) => expect(() => decideLabels(facts)).toThrow(message));
});

test("the bundled teacher with MNIST: ten classes and a null class", () => {
  const file = resolve(import.meta.dirname, "../../assets/mnist-teacher", join("unet", "config.json"));
  const { num_class_embeds } = JSON.parse(readFileSync(file, "utf8")) as { num_class_embeds: number };
  expect(decideLabels({ rows: num_class_embeds, dataClasses: 10 })).toEqual({ classes: 10, nullLabel: 10 });
});
