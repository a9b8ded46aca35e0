import { defineConfig } from "vitest/config";

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
      "test/clock.test.ts",
      "test/condition.test.ts",
      "test/draws.test.ts",
      "test/pair.test.ts",
      "test/model.test.ts",
    ],
    // Trains for seconds, and so would for every mutant of what it is made of.
    exclude: ["test/recipes/ownMethod.test.ts"],
    testTimeout: 60_000,
    // A mutant's tests load the code once and not file by file: most of what a mutant costs.
    isolate: false,
  },
});
