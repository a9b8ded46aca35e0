// --help answers: examples that are right, the defaults of each method, names of solvers and of toy data.
import { describe, expect, test } from "vitest";
import { commands } from "../../src/cli/commands/index.ts";
import { toyNames } from "../../src/data/toy2d.ts";
import { methodNamed, methods } from "../../src/node/methods.ts";
import { flagName } from "../../src/node/options.ts";
import { solvers } from "../../src/solvers/index.ts";
import { fewstep } from "./fewstep.ts";

const help = async (...args: string[]) => {
  const { code, out } = await fewstep(...args, "--help");
  expect(code).toBe(0);
  // As one line, however wide the terminal is.
  return out.replace(/\s+/g, " ");
};

describe.each(commands)("$name", (command) => {
  test("shows two examples, whose options are there", async () => {
    const text = await help(command.name);
    expect(command.examples?.length).toBeGreaterThanOrEqual(2);
    for (const { does, line } of command.examples ?? []) {
      expect(text).toContain(`${does} fewstep ${line}`);
      expect(line.split(" ")[0]).toBe(command.name);
      const known = [...Object.keys(command.options.shape).map(flagName), "help", "json", "seed", "device", "config"];
      for (const [, flag] of line.matchAll(/--([a-z-]+)/g)) expect(known, line).toContain(flag);
    }
  });
});

test("accelerate says whose default is which, and of one method its own", async () => {
  const all = await help("accelerate");
  expect(all).toMatch(/--teacher-steps <n> [^-]*\(default 50; 8 for perflow; 10 for rectified-diffusion-phased\)/);
  expect(all).toMatch(/--lr <n> Learning rate \(AdamW\)\. \(default /);
  for (const method of methods) {
    const text = await help("accelerate", "--method", method);
    const { options, training } = methodNamed(method);
    for (const key of Object.keys(options.shape)) expect(text, method).toContain(`--${flagName(key)}`);
    expect(text).toMatch(new RegExp(`--images <n> [^-]*\\(default ${training.images}`));
    expect(text.includes(" --windows ")).toBe("windows" in options.shape);
  }
  expect(await help("accelerate", "--method=perflow")).toMatch(/--teacher-steps <n> [^-]*\(default 8\)/);
});

test("solvers and toy data are named", async () => {
  const sampling = await help("sample");
  for (const { name } of solvers) expect(sampling).toContain(name);
  const training = await help("train");
  for (const name of toyNames) expect(training).toContain(name);
});
