import { defineConfig } from "vitest/config";
import { alias } from "./studio/alias.ts";

export default defineConfig({
  // The studio imports the package by its name.
  resolve: { alias },
  test: {
    include: ["test/**/*.test.ts"],
    // Two workers: ONNX Runtime's own threads already use the cores.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // For the tests that import onnxruntime-node themselves.
    env: { ORT_DISABLE_TELEMETRY: "1" },
  },
});
