import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** The slower half, which a mutant reaches only where the others have not noticed it. */
const last = ["test/recipes/starts", "test/run/", "test/recipes/gaussian", "test/parity/", "test/pinned/"];
const place = ({ moduleId }: TestSpecification) => last.findIndex((part) => moduleId.includes(part));

/** One failing test is enough, so the fast ones come first. */
class FastFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return [...files].sort((a, b) => place(a) - place(b));
  }
}

/** The tests that say what training computes, and are fast: they run for every mutant. */
export default defineConfig({
  test: {
    include: [
      "test/pinned/**/*.test.ts",
      "test/parity/methods.test.ts",
      "test/optim/**/*.test.ts",
      "test/recipes/**/*.test.ts",
      "test/objectives/**/*.test.ts",
      "test/run/check.test.ts",
      "test/run/step.test.ts",
      "test/run/train*.test.ts",
      "test/run/players.test.ts",
      "test/run/pieces.test.ts",
      "test/clock.test.ts",
      "test/condition.test.ts",
      "test/draws.test.ts",
      "test/dropped.test.ts",
      "test/pair.test.ts",
      "test/model.test.ts",
    ],
    // Train, or compile every method with every option, for seconds, and so would for every mutant of what they are made of.
    exclude: ["test/recipes/ownMethod.test.ts", "test/recipes/idle.test.ts"],
    testTimeout: 60_000,
    // A mutant's tests load the code once and not file by file: most of what a mutant costs.
    isolate: false,
    sequence: { sequencer: FastFirst },
  },
});
