// The documentation tells the truth: links lead somewhere, and the README's example runs.
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { decode } from "fast-png";
import { describe, expect, it } from "vitest";
import { methodsPage, withTable } from "../scripts/methodDocs.ts";

const root = resolve(import.meta.dirname, "..");
const pages = [
  "README.md",
  "CONTRIBUTING.md",
  "CHANGELOG.md",
  ...readdirSync(join(root, "docs")).map((f) => `docs/${f}`),
]
  .filter((f) => f.endsWith(".md"))
  .map((f) => join(root, f));

describe("links", () => {
  for (const page of pages)
    it(relative(root, page), () => {
      const text = readFileSync(page, "utf8");
      const targets = [...text.matchAll(/\]\(([^)#\s]+)[^)]*\)/g)].map(([, target]) => target);
      const broken = targets.filter((t) => !/^https?:/.test(t) && !existsSync(join(dirname(page), t)));
      expect(broken).toEqual([]);
    });
});

it("the README's example runs", () => {
  const code = /```ts\n([\s\S]*?)```/.exec(readFileSync(join(root, "README.md"), "utf8"))?.[1] ?? "";
  const local = code
    .replaceAll('"fewstep"', JSON.stringify(join(root, "src/index.ts")))
    .replace(/"fewstep\/(\w+)"/g, (_, part) => JSON.stringify(join(root, `src/${part}/index.ts`)));
  const folder = mkdtempSync(join(root, "test/.example-"));
  try {
    writeFileSync(join(folder, "example.mts"), local);
    execFileSync(process.execPath, ["--import", "tsx", join(folder, "example.mts")], { cwd: folder, stdio: "pipe" });
    const { width, channels } = decode(readFileSync(join(folder, "moons.png")));
    expect(width * channels).toBeGreaterThan(100);
  } finally {
    rmSync(folder, { recursive: true });
  }
}, 180_000);

it("docs/methods.md and the README's table are what the recipes say; npx tsx scripts/methodDocs.ts writes them", () => {
  expect(readFileSync(join(root, "docs/methods.md"), "utf8")).toBe(methodsPage());
  const readme = readFileSync(join(root, "README.md"), "utf8");
  expect(withTable(readme)).toBe(readme);
});
