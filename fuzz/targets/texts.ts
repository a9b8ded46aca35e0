// What users write: command lines, files of options, prompts, tokenizers.
import type { z } from "zod";
import { commands } from "../../src/cli/commands/index.ts";
import { runProgram } from "../../src/cli/program.ts";
import { emphasized } from "../../src/diffusers/emphasis.ts";
import { clipTokenizer } from "../../src/diffusers/tokenizer.ts";
import { parseOptions, valuesIn, valuesOf } from "../../src/node/options.ts";
import { recipes } from "../../src/recipes/index.ts";
import type { Json } from "../mutate.ts";
import * as mutate from "../mutate.ts";
import { ofText, type Target, textOf, utf8 } from "../target.ts";
import { jsonInput } from "./configs.ts";

/** The commands, which end where their options are read. */
const dry = commands.map((one) => ({
  ...one,
  standalone: true,
  run: async (values: Readonly<Record<string, unknown>>) => {
    parseOptions(one.options, values, one.positional);
  },
}));
const lines: readonly string[] = [
  "train --data toy:moons --steps 4 --batch 8 --network mlp --seed 3",
  "accelerate teacher --method perflow --windows 4 --images 1000 --lr 1e-3 --out runs",
  "accelerate teacher --method reflow --pairs 10 --json --quiet --resume runs/0",
  "sample runs/0 --steps 4,8 --n 16 --out a.png --save a.safetensors --labels 1,2 --guidance 1.5",
  "evaluate runs/0 runs/1 --teacher t --data d --n 100 --metrics frechet,kid --out report",
  "delta extract a b --out c --rank 4",
  "info runs/0 --json",
  "doctor --device cpu --threads 2",
];
const flags = [
  "--config",
  "--seed",
  "--no-json",
  "--n",
  "-h",
  "--help",
  "--version",
  "--",
  "--steps=1e9",
  "--batch",
  "-1",
  "NaN",
  "",
  "--__proto__",
  "--constructor",
  "1e999",
  "0x10",
  "1_000",
];

const cli = async (): Promise<Target> => ({
  make(rng) {
    const args = rng.pick(lines).split(" ");
    for (let k = 1 + rng.int(3); k > 0; k--) {
      const at = rng.int(args.length + 1);
      const kind = rng.int(5);
      if (kind === 0) args.splice(at, 1);
      else if (kind === 1) args.splice(at, 0, rng.pick(flags));
      else if (kind === 2) args[at] = mutate.string(rng, args[at] ?? "x");
      else if (kind === 3) args[at] = String(mutate.number(rng, 4));
      else args.splice(at, 0, args[rng.int(args.length)] ?? "");
    }
    return ofText(args.filter((a) => a !== undefined).join("\u001f"));
  },
  async read(input) {
    const args = textOf(input).split("\u001f");
    let [out, err] = ["", ""];
    const streams = {
      stdout: { write: (t: string) => (out += t) },
      stderr: { write: (t: string) => (err += t), isTTY: false },
    };
    const code = await runProgram(dry, args, streams as unknown as Parameters<typeof runProgram>[2]);
    if (code === 0) return undefined;
    const said = err.trimEnd().replace(/^Error: /, "");
    if (said === "") return `exit code ${code} without a word (${out.slice(0, 60)})`;
    throw new Error(said);
  },
});

const optionSets: readonly Json[] = recipes.map(({ name, options }) => ({
  method: name,
  ...(Object.fromEntries(
    Object.entries((options as z.ZodObject).parse({})).map(([key, value]) => [
      key.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`),
      value as Json,
    ]),
  ) as { [key: string]: Json }),
}));

const optionFiles = async (): Promise<Target> => ({
  make: (rng) => jsonInput(rng, optionSets),
  read(input) {
    const { method, ...rest } = valuesIn(JSON.parse(textOf(input)), "options.json");
    const recipe = recipes.find(({ name }) => name === method) ?? recipes[0];
    const schema = recipe.options as z.ZodObject;
    const values = valuesOf(rest, "options.json", schema);
    const found = parseOptions(schema, values) as Record<string, unknown>;
    for (const [key, value] of Object.entries(values))
      if (value !== undefined && JSON.stringify(found[key]) !== JSON.stringify(value))
        return `${key} is ${JSON.stringify(found[key])}, not ${JSON.stringify(value)}`.slice(0, 200);
    return undefined;
  },
});

const prompts = ["a (red:1.3) [cat] on \\(a\\) mat", "((((deep))))", "[[a]:0.5] (b:-2) c:3", "(x:1e9)"];
const emphasis = async (): Promise<Target> => ({
  make: (rng) =>
    ofText(
      rng.chance(0.02)
        ? rng.pick(["(", "[", "((x:1.1)", "\\", ":1)"]).repeat(5000)
        : mutate.text(rng, rng.pick(prompts)),
    ),
  read(input) {
    const parts = emphasized(textOf(input));
    const wrong = parts.find(({ weight }) => !Number.isFinite(weight));
    return wrong ? `the weight ${wrong.weight}` : undefined;
  },
});

const letters = "abcdefghijklmnopqrstuvwxyz".split("");
const vocab: Json = Object.fromEntries(
  [
    "<|startoftext|>",
    "<|endoftext|>",
    ...letters,
    ...letters.map((c) => `${c}</w>`),
    "ca",
    "cat</w>",
    "th",
    "the</w>",
  ].map((word, id) => [word, id]),
);
const tokenizerConfig: Json = {
  model_max_length: 77,
  bos_token: "<|startoftext|>",
  eos_token: { content: "<|endoftext|>" },
  pad_token: "<|endoftext|>",
  do_lower_case: true,
  added_tokens_decoder: { "1": { content: "<|endoftext|>", special: true } },
};
const tokenizer = async (): Promise<Target> => ({
  make(rng) {
    const merges = "#version: 0.2\nc a\nca t</w>\nt h\nth e</w>\n";
    return {
      vocab: rng.chance(0.3) ? jsonInput(rng, [vocab]).file : utf8(mutate.jsonText(vocab)),
      merges: utf8(rng.chance(0.3) ? mutate.text(rng, merges) : merges),
      config: rng.chance(0.5) ? jsonInput(rng, [tokenizerConfig]).file : utf8("{}"),
      prompt: utf8(rng.chance(0.7) ? mutate.text(rng, "The cat, a CAT; ça 日本 \u0085 x") : "the cat"),
    };
  },
  read(files) {
    const text = (name: string) => new TextDecoder().decode(files[name]);
    const parse = (name: string): unknown => {
      try {
        return JSON.parse(text(name));
      } catch {
        throw new Error(`${name} is not JSON, which another parser says.`);
      }
    };
    const found = clipTokenizer({ vocab: parse("vocab"), merges: text("merges"), config: parse("config") });
    const ids = found.encode(text("prompt"));
    const wrong = ids.find((id) => !(Number.isInteger(id) && id >= 0 && id < found.size));
    if (wrong !== undefined) return `the id ${wrong} of ${found.size}`;
    return Number.isInteger(found.length) && found.length > 2 ? undefined : `${found.length} tokens`;
  },
});

export const texts = { cli, optionFiles, emphasis, tokenizer };
