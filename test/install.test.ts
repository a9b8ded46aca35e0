// `npm ci` fetches packages and nothing else, on npm 10 and 11, and has nothing to warn of.
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";

const root = resolve(import.meta.dirname, "..");
const text = (path: string) => readFileSync(join(root, path), "utf8");
interface Entry {
  readonly hasInstallScript?: boolean;
}
const packages = JSON.parse(text("package-lock.json")).packages as Record<string, Entry>;
const allowed = JSON.parse(text("package.json")).allowScripts as Record<string, boolean>;
const scripted = Object.keys(packages).filter((path) => packages[path].hasInstallScript);

test("onnxruntime-node's script, which loads the CUDA libraries, is not run", () => {
  expect(Object.keys(packages)).toContain("node_modules/onnxruntime-node");
  // npm 10 knows of a script from this mark only: after an upgrade, take it out of package-lock.json again.
  expect(scripted).not.toContain("node_modules/onnxruntime-node");
  expect(allowed["onnxruntime-node"]).toBe(false);
});

test("every script that is run is allowed by name, and .npmrc holds only what npm 11 knows", () => {
  expect(scripted.map((path) => path.replace(/^.*node_modules\//, "")).filter((name) => !allowed[name])).toEqual([]);
  const keys = text(".npmrc").match(/^[^=\n]+/gm);
  expect(keys).toEqual(["fund", "audit"]);
});
