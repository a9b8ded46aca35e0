// Folders whose files belong together: pictures with captions, a pipeline of diffusers, latents and texts that were encoded
// before; and single files of tensors that say what they are.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { tensorFile } from "../../src/cli/tensorKinds.ts";
import { openCaptioned } from "../../src/data/captioned.ts";
import { headerLength, parseHeader } from "../../src/data/safetensorsHeader.ts";
import { memorySource } from "../../src/data/source.ts";
import { readPipelineFiles } from "../../src/diffusers/pipelineFolder.ts";
import { readReference, writeReference } from "../../src/metrics/reference.ts";
import { quietContext } from "../../src/node/context.ts";
import { encodedStore } from "../../src/node/encodedStore.ts";
import { silent } from "../../src/node/reporter.ts";
import type { Runtime } from "../../src/runtime/index.ts";
import { unclear } from "../../test/reports/cases.ts";
import type { Json } from "../mutate.ts";
import * as mutate from "../mutate.ts";
import { inFolder } from "../scratch.ts";
import { difference, one, otherValues, type Target, utf8 } from "../target.ts";
import { jsonInput } from "./configs.ts";
import { pngs } from "./datasets.ts";
import { changedSafetensors } from "./runs.ts";
import { expected, file, tensors } from "./safetensors.ts";

const captions = async (): Promise<Target> => ({
  make(rng) {
    const files: Record<string, Uint8Array> = {};
    const count = 1 + rng.int(4);
    const listed = rng.chance(0.5);
    const lines: string[] = [];
    for (let k = 0; k < count; k++) {
      const name = `${rng.chance(0.1) ? "sub/" : ""}${k}.png`;
      files[rng.chance(0.03) ? mutate.text(rng, name) : name] = pngs[k];
      const caption = rng.chance(0.2) ? mutate.text(rng, `a picture ${k}`) : `a picture ${k}`;
      if (listed) {
        const line: Json = { file_name: name, [rng.pick(["text", "text", "caption", "prompt", "other"])]: caption };
        const text = mutate.jsonText(rng.chance(0.15) ? mutate.json(rng, line) : line);
        lines.push(rng.chance(0.05) ? mutate.text(rng, text) : text);
      } else if (rng.chance(0.97))
        files[`${k}.txt`] = rng.chance(0.05) ? mutate.bytes(rng, utf8(caption)) : utf8(caption);
    }
    if (listed) files["metadata.jsonl"] = utf8(`${lines.join("\n")}\n`);
    return files;
  },
  async read(files) {
    const { read } = await openCaptioned(memorySource(files, "data"));
    const seen: Record<string, string> = {};
    for await (const { name, caption, bytes } of read()) {
      if (difference([...bytes], [...files[name]], name)) return `${name} is another picture`;
      seen[name] = caption;
    }
    const text = (name: string) => new TextDecoder().decode(files[name]);
    for (const [name, caption] of Object.entries(seen)) {
      const beside = `${name.slice(0, name.lastIndexOf("."))}.txt`;
      const rows =
        "metadata.jsonl" in files
          ? text("metadata.jsonl")
              .split("\n")
              .filter((line) => line.trim())
          : [];
      const row = rows
        .flatMap((line) => {
          try {
            // As Python writes it.
            return [JSON.parse(line.replace(/:(-?Infinity|NaN)/g, ":0")) as Record<string, unknown>];
          } catch {
            return [];
          }
        })
        .filter((value) => value.file_name === name)
        .at(-1);
      const said = beside in files ? text(beside) : Object.entries(row ?? {}).map(([, value]) => value);
      const known = Array.isArray(said) ? said.some((v) => String(v).trim() === caption) : said.trim() === caption;
      if (!known) return `${name} has the caption ${JSON.stringify(caption)}`;
    }
    return undefined;
  },
});

const index: Json = {
  _class_name: "StableDiffusionPipeline",
  unet: ["diffusers", "UNet2DConditionModel"],
  vae: ["diffusers", "AutoencoderKL"],
  text_encoder: ["transformers", "CLIPTextModel"],
  tokenizer: ["transformers", "CLIPTokenizer"],
  safety_checker: [null, null],
};
const joint: Json = { model: { type: "BPE", vocab: { a: 0, b: 1 }, merges: ["a b", ["a", "a"]] }, added_tokens: [] };

const pipelineFolder = async (): Promise<Target> => ({
  make(rng) {
    const sometimes = (p: number, seeds: readonly Json[]) =>
      rng.chance(p) ? jsonInput(rng, seeds).file : utf8(mutate.jsonText(seeds[0]));
    const weights = (names: readonly string[]) => {
      const calm = { ...rng, chance: (p: number) => rng.chance(p / 6) };
      return file(
        calm,
        tensors(rng, names, () => [2], ["F32", "F16"]),
      );
    };
    const files: Record<string, Uint8Array> = {
      "model_index.json": sometimes(0.4, [index]),
      "scheduler/scheduler_config.json": sometimes(0.1, [{ _class_name: "DDIMScheduler", beta_start: 0.1 }]),
      "unet/config.json": sometimes(0.1, [{ _class_name: "UNet2DConditionModel" }]),
      "unet/diffusion_pytorch_model.safetensors": weights(["conv_in.weight", "conv_in.bias"]),
      "vae/config.json": sometimes(0.1, [{ _class_name: "AutoencoderKL" }]),
      "vae/diffusion_pytorch_model.safetensors": weights(["decoder.conv_in.weight"]),
      "text_encoder/config.json": sometimes(0.1, [{ hidden_size: 8 }]),
      "text_encoder/model.safetensors": weights(["text_model.final_layer_norm.weight"]),
      ...(rng.chance(0.5)
        ? { "tokenizer/vocab.json": sometimes(0.3, [{ a: 0 }]), "tokenizer/merges.txt": utf8("a b\n") }
        : { "tokenizer/tokenizer.json": sometimes(0.5, [joint]) }),
      ...(rng.chance(0.3) ? { "safety_checker/config.json": utf8("{}") } : {}),
    };
    const names = Object.keys(files);
    if (rng.chance(0.2)) delete files[rng.pick(names)];
    if (rng.chance(0.05)) files[mutate.text(rng, rng.pick(names))] = utf8("{}");
    return files;
  },
  async read(files) {
    const found = await readPipelineFiles(memorySource(files, "folder"));
    const parse = (name: string) => JSON.parse(new TextDecoder().decode(files[name])) as unknown;
    const said = "model_index.json" in files ? parse("model_index.json") : {};
    const wrong = difference(found.index, said, "model_index.json");
    if (wrong) return wrong;
    for (const part of [found.unet, found.vae, ...found.text])
      for (const [name, { start, end }] of part.weights.tensors)
        if (end < start) return `${name} has ${end - start} bytes`;
    return difference(found.unet.config, parse("unet/config.json"), "unet/config.json");
  },
});

const encodedLatents = async (): Promise<Target> => {
  const shapes = { latents: [2], text: [3] };
  const items = [1, 2].map((k) => ({ latents: Float32Array.of(k, 2), text: Float32Array.of(3, k, 5) }));
  // No network runs here.
  const context = (note: (text: string) => void) =>
    quietContext({ runtime: {} as Runtime, report: { ...silent, note } });
  const seeds = await Promise.all(
    items.map((item, k) =>
      inFolder({}, async (folder) => {
        const store = await encodedStore(
          folder,
          shapes,
          context(() => {}),
        );
        await store.add(`key${k}`, item);
        await store.add("both", items[0]);
        await store.flush();
        return new Uint8Array(readFileSync(join(folder, readdirSync(folder)[0])));
      }),
    ),
  );
  return {
    make: (rng) => ({ "items-00.safetensors": changedSafetensors(rng, rng.pick(seeds), rng.pick(seeds)) }),
    read: (files) =>
      inFolder(files, async (folder) => {
        let said: string | undefined;
        const store = await encodedStore(
          folder,
          shapes,
          context((text) => (said = text)),
        );
        if (said !== undefined) throw new Error(said);
        if (!store.has("both")) return "items are lost without a word";
        const key = ["key0", "key1"].findIndex((name) => store.has(name));
        if (key < 0) return "an item is lost without a word";
        return (
          difference([...store.read(`key${key}`, "text")], [...items[key].text], "the text") ??
          difference([...store.read("both", "latents")], [...items[0].latents], "the latents")
        );
      }),
  };
};

const reference = async (): Promise<Target> => {
  const seeds = [2, 3].map((dim) =>
    writeReference(
      {
        n: 100 * dim,
        mean: Float64Array.from({ length: dim }, (_, i) => i / 3),
        covariance: Float64Array.from({ length: dim * dim }, (_, i) => (i % (dim + 1) === 0 ? 1 : 0.1)),
      },
      { features: "mnist" },
    ),
  );
  return {
    make: (rng) => one(changedSafetensors(rng, rng.pick(seeds), rng.pick(seeds))),
    read({ file: bytes }) {
      const { mean, covariance } = readReference(bytes, "reference.safetensors");
      for (const [name, values] of Object.entries({ mean, covariance })) {
        const broken = values.find((value) => !Number.isFinite(value));
        if (broken !== undefined) return `${name} holds ${broken}`;
        const wrong = otherValues(values, expected(bytes, name).values, name);
        if (wrong) return wrong;
      }
      return undefined;
    },
  };
};

/** What `fewstep info` says of a file of tensors. */
const tensorKinds = async (): Promise<Target> => ({
  make(rng) {
    const names = ["theta", "x", "noise", "unet.to_q.lora_A.weight", "unet.attn2.to_k.weight", "a"];
    const made = tensors(
      rng,
      names.filter(() => rng.chance(0.5)),
      () => Array.from({ length: rng.int(3) }, () => 1 + rng.int(3)),
    );
    const said: Json = {
      format: rng.pick(["fewstep-state-3", "pt", "delta"]),
      step: "12",
      stage: "1",
      software: "fewstep",
      holds: "samples",
      sha256: "ab",
      base_model: "x",
    };
    made.header.__metadata__ = rng.chance(0.6) ? mutate.json(rng, said) : said;
    return one(file(rng, made));
  },
  read({ file: bytes }) {
    const length = headerLength(bytes.subarray(0, 8), bytes.length, "a.safetensors");
    const header = parseHeader(bytes.subarray(8, 8 + length), bytes.length, "a.safetensors");
    const { text, values } = tensorFile(header, "a.safetensors");
    const raw = unclear(text) ?? (/\bNaN\b/.test(text) ? "NaN" : undefined);
    if (raw !== undefined) return `it says ${raw}: ${text.slice(0, 200)}`;
    return Number.isSafeInteger(values) && values >= 0 ? undefined : `${values} values`;
  },
});

export const folderFiles = { captions, pipelineFolder, encodedLatents, reference, tensorKinds };
