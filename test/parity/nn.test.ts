// Every golden operator case of nn/, on the CPU.

import { afterAll, describe, expect, it } from "vitest";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { goldenRoots } from "../support/golden.ts";
import { checkOperator, operatorFiles } from "../support/goldenOperators.ts";

const runtime = nodeRuntime({ threads: 1 });
let ran = 0;

for (const root of goldenRoots())
  for (const { file, cases, get } of operatorFiles(root))
    describe(`nn ${file}`, () => {
      for (const c of cases)
        it(c.id, async () => {
          await checkOperator(runtime, c, get);
          ran++;
        });
    });

afterAll(async () => {
  console.log(`nn: ${ran} operator cases agree in value, vjp and jvp`);
  expect(ran).toBeGreaterThan(0);
  expect(runtime.open()).toBe(0);
});
