// The package as users get it: what is in the tarball, that it installs and runs in an empty project, and how large it is.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { apiPage } from "../scripts/apiDocs.ts";
import { commandLine, type Packed, pack, root, runExample, typesProblems, unpack } from "../scripts/package.ts";

let packed: Packed;
beforeAll(async () => {
  packed = await pack();
}, 300_000);
afterAll(() => packed?.dispose());

const named = (path: string) => packed.files.some((file) => file.path === path);

describe("the tarball", () => {
  test("holds every entry point with its types, and their maps lead to the source", async () => {
    const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
      exports: Record<string, { types: string; default: string } | string>;
    };
    for (const entry of Object.values(exports))
      for (const path of typeof entry === "string" ? [entry] : [entry.types, entry.default])
        expect(named(path.replace("./", "")), path).toBe(true);
    expect(named("dist/index.d.ts.map")).toBe(true);
    expect(named("src/index.ts")).toBe(true);
  });

  test("holds what the README's links lead to", () => {
    const readme = readFileSync(join(root, "README.md"), "utf8");
    const targets = [...readme.matchAll(/\]\(([^)#\s]+)[^)]*\)/g)].map(([, target]) => target);
    const local = targets.filter((target) => !/^https?:/.test(target));
    expect(local.length).toBeGreaterThan(20);
    const missing = local.filter((t) => !named(t) && !packed.files.some(({ path }) => path.startsWith(`${t}/`)));
    expect(missing).toEqual([]);
  });

  test("holds no tests, runs or secrets, and is at most 9 MB", () => {
    const odd = packed.files.filter(
      ({ path }) => !/^(dist|src|bin|assets|examples|docs)\/|^[\w-]+(\.md|\.json)?$/.test(path),
    );
    expect(odd).toEqual([]);
    expect(packed.bytes).toBeLessThan(9e6);
  });
});

test("docs/api.md is what the exports and their docstrings say (npm run docs:api writes it); no function is without one", async () => {
  const { page, bare } = await apiPage(packed.dist);
  expect(bare).toEqual([]);
  expect(readFileSync(join(root, "docs/api.md"), "utf8") === page, "docs/api.md is as npm run docs:api writes it").toBe(
    true,
  );
}, 120_000);

test("in an empty project the README's example, its types and the command line work (npm run check:package installs it there)", async () => {
  const project = await unpack(packed);
  try {
    for (const resolution of ["nodenext", "bundler"] as const)
      expect(await typesProblems(project, join(root, "node_modules/typescript/bin/tsc"), resolution)).toBe("");
    await runExample(project, process.execPath);
    expect(await commandLine(project, process.execPath, "--help")).toContain("accelerate");
  } finally {
    await project.dispose();
  }
}, 300_000);

describe("bundles, minified and compressed, without ONNX Runtime", () => {
  const sizeOf = async (code: string) => {
    const { outputFiles } = await build({
      ...{ stdin: { contents: code, resolveDir: root }, bundle: true, minify: true, write: false, format: "esm" },
      ...{ platform: "browser", target: "es2022", external: ["onnxruntime-web"], logLevel: "silent" },
    });
    return gzipSync(outputFiles[0].contents, { level: 9 }).length;
  };
  const sampling =
    "vp, linear, chord, uniformWindows, eps, x0, velocity, coefficients, transfer, uniformGrid, windowGrid";

  test.each([
    ["what sampling takes of fewstep/core", `export { ${sampling} } from "./src/core/index.ts"`, 5_000],
    ["all of fewstep/core", 'export * from "./src/core/index.ts"', 7_000],
  ])("%s", async (_, code, budget) => {
    const size = await sizeOf(code);
    expect(size).toBeLessThan(budget);
    expect(size).toBeGreaterThan(budget / 10);
  });
});
