// The studio as static files that work on any host and in any folder: all addresses are relative.
import { resolve } from "node:path";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";
import { alias } from "./alias.ts";

const root = import.meta.dirname;
/** Two threads need these; without them the page runs on one. */
const isolated = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

export default defineConfig({
  root,
  base: "./",
  publicDir: resolve(root, "static"),
  plugins: [svelte()],
  resolve: { alias },
  worker: { format: "es" },
  build: {
    outDir: resolve(root, "../dist/studio"),
    emptyOutDir: true,
    target: "es2022",
    // The Wasm of ONNX Runtime is large and is what it is.
    chunkSizeWarningLimit: 1000,
    reportCompressedSize: false,
  },
  server: { host: "127.0.0.1", headers: isolated, fs: { allow: [resolve(root, "..")] } },
  preview: { host: "127.0.0.1", headers: isolated },
});
