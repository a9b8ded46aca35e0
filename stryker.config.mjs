// Mutation testing of what training computes: npm run mutation. Each small change to these files must fail a test.
export default {
  mutate: [
    "src/pair.ts",
    "src/model.ts",
    "src/optim/**/*.ts",
    "src/couplings/**/*.ts",
    "src/objectives/**/*.ts",
    "src/recipes/**/*.ts",
    "src/run/step.ts",
    "src/run/train.ts",
  ],
  testRunner: "vitest",
  vitest: { configFile: "vitest.mutation.config.ts", related: false },
  coverageAnalysis: "perTest",
  // Two workers: ONNX Runtime's own threads already use the cores.
  concurrency: 2,
  // Stryker would rewrite a tsconfig.json by TypeScript's old API, which TypeScript 7 has no more; types are not checked here.
  tsconfigFile: "none",
  ignorePatterns: ["/.ci", "/assets", "/dist", "/docs", "/runs", "/evaluation", "/coverage", "/test/fixtures", "/test/golden/nn"],
  tempDirName: ".stryker/sandboxes",
  incremental: true,
  incrementalFile: ".stryker/incremental.json",
  reporters: ["clear-text", "progress", "json", "html"],
  jsonReporter: { fileName: ".stryker/mutation.json" },
  htmlReporter: { fileName: ".stryker/mutation.html" },
  clearTextReporter: { allowColor: false, allowEmojis: false, logTests: false, reportTests: false },
  thresholds: { high: 95, low: 90, break: 90 },
  timeoutMS: 20_000,
  allowConsoleColors: false,
};
