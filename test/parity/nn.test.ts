// Every golden operator case (nn/), on the CPU.

import { afterAll, describe, expect, it } from "vitest";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { checkOperator, type OperatorGolden, operatorFile } from "../support/goldenOperators.ts";
import { goldenOf, reportCases } from "./folders.ts";

const runtime = nodeRuntime({ threads: 1 });
const files = goldenOf<OperatorGolden>("operators");
let ran = 0;

for (const one of files) {
  const { cases, get } = operatorFile(one.file, one.golden);
  describe(`nn ${one.file}`, () => {
    for (const c of cases)
      it(c.id, async () => {
        await checkOperator(runtime, c, get);
        ran++;
      });
  });
}

it("ran every case that exists", () => reportCases("operators", "value, vjp and jvp", files, ran));

afterAll(() => expect(runtime.open()).toBe(0));
