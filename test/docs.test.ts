// The documentation tells the truth: links lead somewhere, and the README's example runs.
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { decode } from "fast-png";
import { describe, expect, it } from "vitest";
import { methodsPage, withTable } from "../scripts/methodDocs.ts";
import { commands } from "../src/cli/commands/index.ts";
import { flagName } from "../src/node/options.ts";

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

/** Lines of "fewstep …" in the blocks of a page, those that go on after a backslash as one. */
function commandsIn(page: string): string[] {
  const text = readFileSync(page, "utf8");
  const blocks = [...text.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block]) => block.replaceAll("\\\n", " "));
  const indented = text.match(/^ {4}fewstep .*$/gm) ?? [];
  return [...blocks.flatMap((block) => block.split("\n")), ...indented]
    .map((line) => line.trim())
    .filter((line) => line.startsWith("fewstep "));
}

it("commands in the docs exist, with the options that they are given", () => {
  const globals = ["json", "device", "threads", "seed", "quiet", "help", "config"];
  const all = pages.flatMap(commandsIn);
  expect(all.length).toBeGreaterThan(40);
  for (const line of all) {
    const command = commands.find(({ name }) => new RegExp(`^fewstep (--\\S+ \\S+ )*${name}( |$)`).test(line));
    expect(command, line).toBeDefined();
    const known = [
      ...globals,
      ...Object.keys(command?.options.shape ?? {}).flatMap((key) => [flagName(key), `no-${flagName(key)}`]),
    ];
    const unquoted = line.replace(/"[^"]*"/g, "");
    for (const [, flag] of unquoted.matchAll(/ --([a-z0-9-]+)/g)) expect(known, line).toContain(flag);
  }
});

it("what the docs import is there", async () => {
  const snippets = pages
    .filter((page) => !page.endsWith("api.md"))
    .flatMap((page) => [...readFileSync(page, "utf8").matchAll(/import \{([^}]*)\} from "(fewstep[^"]*)"/g)]);
  expect(snippets.length).toBeGreaterThan(3);
  const places: Readonly<Record<string, string>> = {
    fewstep: "index",
    "fewstep/recipes": "authors",
    "fewstep/browser": "browser",
  };
  for (const [, names, from] of snippets) {
    const module = (await import(`../src/${places[from] ?? `${from.slice("fewstep/".length)}/index`}.ts`)) as object;
    for (const name of names
      .split(",")
      .map((part) => part.trim())
      .filter((part) => part !== "" && !part.startsWith("type ")))
      expect(Object.keys(module), `${from} in ${names}`).toContain(name);
  }
});
