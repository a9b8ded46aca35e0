// The package as a user gets it: packed, installed in an empty project, imported there. `npm run check:package` does all of it;
// test/package.test.ts calls the same.
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";

export const root = join(import.meta.dirname, "..");
const exec = promisify(execFile);
const npm = process.platform === "win32" ? "npm.cmd" : "npm";

/** Runs a program and returns what it printed. Throws an Error with what it printed where it fails. */
export async function run(program: string, args: readonly string[], cwd: string, env: object = {}): Promise<string> {
  const options = { cwd, env: { ...process.env, ...env }, maxBuffer: 64e6 };
  return exec(program, [...args], options).then(
    ({ stdout }) => stdout,
    (error: { readonly stdout?: string; readonly stderr?: string }) => {
      throw new Error(`${program} ${args.join(" ")}: ${error.stderr ?? ""}${error.stdout ?? ""}`, { cause: error });
    },
  );
}

export interface Packed {
  /** Of the tarball. */
  readonly path: string;
  readonly bytes: number;
  /** The compiled package. */
  readonly dist: string;
  readonly files: readonly { readonly path: string; readonly size: number }[];
  dispose(): Promise<void>;
}

/** Compiles and packs in a folder of its own, so that dist/ stays as it is. `studio`: with its page, as it is published. */
export async function pack({ studio = false } = {}): Promise<Packed> {
  const folder = await mkdtemp(join(tmpdir(), "fewstep-pack-"));
  const stage = join(folder, "stage");
  await mkdir(stage);
  await run(
    process.execPath,
    [join(root, "node_modules/typescript/bin/tsc"), "-p", "tsconfig.build.json", "--outDir", join(stage, "dist")],
    root,
  );
  if (studio) {
    const vite = join(root, "node_modules/vite/bin/vite.js");
    await run(
      process.execPath,
      [vite, "build", "studio", "--outDir", join(stage, "dist/studio"), "--emptyOutDir"],
      root,
    );
  }
  // npm itself chooses of them what package.json names.
  for (const name of [
    "package.json",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "bin",
    "assets",
    "src",
    "examples",
    "docs",
  ])
    await cp(join(root, name), join(stage, name), { recursive: true });
  const [said] = JSON.parse(
    await run(npm, ["pack", "--json", "--ignore-scripts", "--pack-destination", folder], stage),
  );
  const { filename, size, files } = said as { filename: string; size: number; files: Packed["files"] };
  return {
    path: join(folder, filename),
    bytes: size,
    dist: join(stage, "dist"),
    files,
    dispose: () => rm(folder, { recursive: true }),
  };
}

export interface Project {
  readonly path: string;
  readonly at: (...parts: string[]) => string;
  dispose(): Promise<void>;
}

async function emptyProject(): Promise<Project> {
  const path = await mkdtemp(join(tmpdir(), "fewstep-install-"));
  await writeFile(join(path, "package.json"), JSON.stringify({ name: "stranger", private: true, type: "module" }));
  return { path, at: (...parts) => join(path, ...parts), dispose: () => rm(path, { recursive: true }) };
}

/** An empty project with the package in it, installed as a user would: from what npm has kept where that is enough. */
export async function install({ path: tarball }: Packed): Promise<Project> {
  const project = await emptyProject();
  const wanted = ["install", "--ignore-scripts", "--no-audit", "--no-fund", tarball];
  await run(npm, [...wanted, "--offline"], project.path).catch(() =>
    run(npm, [...wanted, "--prefer-offline"], project.path),
  );
  return project;
}

/** The same without npm and without a network: the tarball unpacked beside links to the dependencies of this repository. */
export async function unpack({ path: tarball }: Packed): Promise<Project> {
  const project = await emptyProject();
  const { dependencies } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as { dependencies: object };
  for (const name of Object.keys(dependencies)) {
    await mkdir(dirname(project.at("node_modules", name)), { recursive: true });
    await symlink(join(root, "node_modules", name), project.at("node_modules", name), "junction");
  }
  await run("tar", ["-xzf", tarball, "-C", project.at("node_modules")], project.path);
  await rename(project.at("node_modules/package"), project.at("node_modules/fewstep"));
  return project;
}

/** The first example of the README, for as many images as a check takes. */
export async function readmeExample(images: number): Promise<string> {
  const readme = await readFile(join(root, "README.md"), "utf8");
  const code = /```ts\n([\s\S]*?)```/.exec(readme)?.[1];
  if (code === undefined) throw new Error("The README has no example in TypeScript.");
  return code.replace(/\bimages: [\d_]+/g, `images: ${images}`);
}

/** Every entry point that package.json names, "fewstep/core" for "./core". */
export async function entryPoints(): Promise<readonly string[]> {
  const { exports } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as { exports: object };
  return Object.keys(exports)
    .filter((key) => key !== "./package.json")
    .map((key) => `fewstep${key.slice(1)}`);
}

/** What tsc says of the example and of all entry points in the project, under strict options; empty: nothing. */
export async function typesProblems(
  project: Project,
  tsc: string,
  resolution: "nodenext" | "bundler",
): Promise<string> {
  const lines = (await entryPoints()).map((name, i) => `import * as entry${i} from "${name}";\nvoid entry${i};`);
  await writeFile(project.at("entries.ts"), lines.join("\n"));
  await writeFile(project.at("example.ts"), `${await readmeExample(640)}export type Run = typeof student.run;\n`);
  const compilerOptions = {
    ...{ strict: true, noEmit: true, target: "es2022", types: [], lib: ["es2023", "dom"] },
    ...{ exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, skipLibCheck: true },
    module: resolution === "nodenext" ? "nodenext" : "esnext",
    moduleResolution: resolution,
  };
  const config = project.at(`tsconfig.${resolution}.json`);
  await writeFile(config, JSON.stringify({ compilerOptions, files: ["entries.ts", "example.ts"] }));
  return run(process.execPath, [tsc, "-p", config], project.path).then(
    () => "",
    (error: Error) => error.message,
  );
}

/** Runs the README's example in the project; throws an Error where it leaves no picture. */
export async function runExample(project: Project, node: string): Promise<void> {
  await writeFile(project.at("example.mjs"), await readmeExample(640));
  await rm(project.at("moons.png"), { force: true });
  await run(node, ["example.mjs"], project.path, { ORT_DISABLE_TELEMETRY: "1" });
  const png = await readFile(project.at("moons.png"));
  if (png.length < 1000) throw new Error(`moons.png has ${png.length} bytes: that is no picture.`);
}

/** The command line in the project. */
export const commandLine = (project: Project, node: string, ...args: readonly string[]): Promise<string> =>
  run(node, [project.at("node_modules/fewstep/bin/fewstep.js"), ...args], project.path);
