// What a page gets: no Node below fewstep/browser, and not more than its budget.

import { resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { build, type Metafile } from "esbuild";
import { beforeAll, expect, it } from "vitest";

const root = resolve(import.meta.dirname, "../..");
/** Bytes of everything that fewstep/browser exports, minified and compressed; a page that imports less has less. */
const MOST = 180_000;

async function bundle(text: string): Promise<{ bytes: Uint8Array; meta: Metafile }> {
  const made = await build({
    stdin: { contents: text, resolveDir: root, loader: "ts" },
    bundle: true,
    minify: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    write: false,
    metafile: true,
    logLevel: "silent",
    absWorkingDir: root,
  });
  return { bytes: made.outputFiles[0].contents, meta: made.metafile };
}

let whole: Awaited<ReturnType<typeof bundle>>;
beforeAll(async () => {
  whole = await bundle('export * from "./src/browser.ts";');
});

it("nothing of Node is reached, and neither build of ONNX Runtime", () => {
  // A built-in would have failed the bundle already; packages may hide one behind a condition.
  const outside = Object.values(whole.meta.inputs).flatMap(({ imports }) =>
    imports.filter(({ external }) => external).map(({ path }) => path),
  );
  expect(outside).toEqual([]);
  const files = Object.keys(whole.meta.inputs);
  expect(files.length).toBeGreaterThan(150);
  expect(files.filter((file) => /onnxruntime|\/sharp\/|linkedom|src\/(node|cli)\//.test(file))).toEqual([]);
});

it("a built-in would be noticed", async () => {
  await expect(bundle('import "node:fs";')).rejects.toThrow(/node:fs/);
});

it("weighs what it may", () => {
  const size = gzipSync(whole.bytes, { level: 9 }).length;
  const zod = inPackage(whole.meta, "zod");
  console.log(`fewstep/browser: ${whole.bytes.length} bytes minified, ${size} compressed; zod ${zod} minified`);
  expect(size).toBeLessThan(MOST);
  expect(zod).toBeLessThan(whole.bytes.length / 4);
});

it("a page that only samples a model has less", async () => {
  const { bytes } = await bundle('export { draw, fetchedFiles, openModel, webRuntime } from "./src/browser.ts";');
  const size = gzipSync(bytes, { level: 9 }).length;
  console.log(`a page that samples: ${size} bytes compressed`);
  expect(size).toBeLessThan(0.9 * gzipSync(whole.bytes, { level: 9 }).length);
});

const inPackage = (meta: Metafile, name: string): number =>
  Object.values(meta.outputs)
    .flatMap(({ inputs }) => Object.entries(inputs))
    .filter(([file]) => file.includes(`node_modules/${name}/`))
    .reduce((sum, [, { bytesInOutput }]) => sum + bytesInOutput, 0);
