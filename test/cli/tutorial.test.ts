// docs/tutorial.md, command by command, and its example; every word of it that is a number is asked for.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readJson } from "../../src/node/files.ts";
import { fewstep, root, scratchOnce } from "./fewstep.ts";

const { at } = scratchOnce();
const page = readFileSync(join(root, "docs/tutorial.md"), "utf8");
const lines = [...page.matchAll(/```sh\n([\s\S]*?)```/g)].flatMap(([, block]) => block.trim().split("\n"));

/** Paths that a command makes or reads are in a folder of the test. */
const placed = (arg: string) => (/^(runs\/|[\w-]+-report$|student(-onnx|\.png)$)/.test(arg) ? at(arg) : arg);

interface Report {
  readonly results: readonly {
    readonly role: string;
    readonly evaluations: readonly { steps: number; values: Record<string, { value: number }> }[];
  }[];
}

test("every command runs, and what the page says of the results holds", { timeout: 300_000 }, async () => {
  expect(lines.length).toBeGreaterThan(6);
  for (const line of lines) {
    const [program, ...args] = line.split(" ");
    expect(program).toBe("fewstep");
    const { code, err } = await fewstep("--quiet", ...args.map(placed));
    expect(code, `${line}\n${err}`).toBe(0);
  }
  const numbers = async (name: string, metric: string, role = "student") => {
    const { results } = (await readJson(at(name, "report.json"))) as Report;
    const found = results.find((one) => one.role === role)?.evaluations ?? [];
    return Object.fromEntries(found.map(({ steps, values }) => [steps, values[metric].value]));
  };
  const teacher = await numbers("teacher-report", "sliced-wasserstein");
  expect(teacher[1]).toBeGreaterThan(teacher[4]);
  expect(teacher[4]).toBeGreaterThan(teacher[32]);
  const [own, theirs] = [
    await numbers("student-report", "endpoint"),
    await numbers("student-report", "endpoint", "teacher"),
  ];
  expect(own[4]).toBeLessThan(theirs[4]);
  for (const made of ["student.png", "student-onnx/model.onnx", "student-onnx/README.md", "teacher-report/paths.svg"])
    expect(existsSync(at(made)), made).toBe(true);
});
