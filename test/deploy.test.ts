// The templates for clusters: scripts that a shell reads, manifests of the kinds that they are for, commands that exist.
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { z } from "zod";
import { commands } from "../src/cli/commands/index.ts";
import { flagsOf } from "../src/cli/flags.ts";

const root = resolve(import.meta.dirname, "..");
const folder = join(root, "deploy");
const names = readdirSync(folder).sort();

test("every template has its lines in docs/cluster.md", () => {
  expect(names).toEqual(["Containerfile", "pairs-job.yaml", "pairs.sbatch", "train-mpijob.yaml", "train.sbatch"]);
  const page = readFileSync(join(root, "docs/cluster.md"), "utf8");
  for (const name of names) expect(page).toContain(`(../deploy/${name})`);
});

test.skipIf(process.platform === "win32").each(names.filter((name) => name.endsWith(".sbatch")))(
  "%s is a script",
  (name) => {
    expect(execFileSync("bash", ["-n", join(folder, name)], { encoding: "utf8" })).toBe("");
  },
);

const container = z.object({
  command: z.array(z.string()),
  args: z.array(z.string()),
  env: z.array(z.object({ name: z.string(), value: z.string() })).optional(),
});
const pod = z.object({ spec: z.object({ containers: z.array(container).length(1) }) });
const job = z.object({
  apiVersion: z.literal("batch/v1"),
  kind: z.literal("Job"),
  spec: z.object({ completionMode: z.literal("Indexed"), completions: z.int(), template: pod }),
});
const mpi = z.object({
  apiVersion: z.literal("kubeflow.org/v2beta1"),
  kind: z.literal("MPIJob"),
  spec: z.object({
    slotsPerWorker: z.int(),
    mpiReplicaSpecs: z.object({
      Launcher: z.object({ template: pod }),
      Worker: z.object({ replicas: z.int() }),
    }),
  }),
});
const manifest = (name: string): unknown => {
  const documents = parseAllDocuments(readFileSync(join(folder, name), "utf8"));
  expect(documents.flatMap((document) => document.errors)).toEqual([]);
  expect(documents).toHaveLength(1);
  return documents[0].toJS();
};
/** A command with its flags, all of which fewstep has. */
function check([name, ...args]: readonly string[]): void {
  const found = commands.find((one) => one.name === name);
  if (!found) throw new Error(`There is no command "${name}".`);
  const flags = flagsOf(found.options, found.positional).map(({ long }) => long);
  for (const arg of args.filter((a) => a.startsWith("--"))) expect(flags).toContain(arg);
}

test("the Indexed Job says how many parts there are", () => {
  const { spec } = job.parse(manifest("pairs-job.yaml"));
  const [{ command, args, env }] = spec.template.spec.containers;
  expect(command).toEqual(["fewstep"]);
  expect(env).toEqual([{ name: "JOB_COMPLETIONS", value: String(spec.completions) }]);
  check(args);
});

test("the MPIJob starts as many ranks as there are places, without binding them", () => {
  const { slotsPerWorker, mpiReplicaSpecs } = mpi.parse(manifest("train-mpijob.yaml")).spec;
  const [{ command, args }] = mpiReplicaSpecs.Launcher.template.spec.containers;
  expect(command).toEqual(["mpirun"]);
  const at = args.indexOf("fewstep");
  expect(args.slice(0, at).join(" ")).toContain(
    `--bind-to none -n ${slotsPerWorker * mpiReplicaSpecs.Worker.replicas}`,
  );
  check(args.slice(at + 1));
  expect(args).toContain("--run");
});
