// A folder of diffusers as the parts of a text-to-image pipeline, from configurations and headers alone: nothing of the
// weights is read before everything is known to fit.
import { parseJson } from "../data/json.ts";
import type { RangeSource } from "../data/source.ts";
import { mapTensors, someOf, type TensorIndex } from "../data/tensorIndex.ts";
import type { TokenizerFiles } from "./tokenizer.ts";
import { modernIndex, openWeights } from "./weights.ts";

export interface PartFiles {
  /** What messages call it: "<folder>/unet". */
  readonly name: string;
  /** Its config.json, parsed. */
  readonly config: unknown;
  readonly weights: TensorIndex;
}

export interface PipelineFiles {
  /** What messages call the folder. */
  readonly name: string;
  /** model_index.json, parsed; empty where there is none. */
  readonly index: Readonly<Record<string, unknown>>;
  readonly unet: PartFiles;
  readonly vae: PartFiles;
  readonly text: readonly PartFiles[];
  readonly tokenizers: readonly TokenizerFiles[];
  /** scheduler_config.json. */
  readonly scheduler: Readonly<Record<string, unknown>>;
  readonly safety?: PartFiles & { readonly preprocessing: unknown };
}

export interface FolderOptions {
  /** "fp16" and the like. */
  readonly variant?: string;
  /** Whether the folder's safety checker is wanted. Default true. */
  readonly safety?: boolean;
  /** Weights from elsewhere (a single file), for parts of which the folder has the configuration. */
  readonly weights?: ReadonlyMap<string, TensorIndex>;
}

/** Of a model_index.json the class of a component: `null` where it says that there is none. */
function classOf(index: PipelineFiles["index"], component: string): string | null | undefined {
  const entry = index[component];
  if (entry === undefined) return undefined;
  const name: unknown = Array.isArray(entry) ? entry[1] : undefined;
  return typeof name === "string" ? name : null;
}

/** Throws an Error, one sentence, for what is missing, and for pipelines of other kinds, by name. */
export async function readPipelineFiles(source: RangeSource, options: FolderOptions = {}): Promise<PipelineFiles> {
  const { name } = source;
  const files = new Set(await source.list());
  const optional = async (file: string): Promise<unknown> =>
    files.has(file) ? parseJson(await source.read(file, LARGEST_CONFIG), `${name}/${file}`) : undefined;
  const object = async (file: string): Promise<Readonly<Record<string, unknown>> | undefined> => {
    const value = await optional(file);
    if (value === undefined) return undefined;
    if (typeof value !== "object" || value === null || Array.isArray(value))
      throw new Error(`${name}/${file} is no configuration: expected an object.`);
    return Object.fromEntries(Object.entries(value));
  };
  const index = (await object("model_index.json")) ?? {};
  refuseOthers(name, index, files);
  const part = async (component: string, advice = ""): Promise<PartFiles> => {
    const config = await optional(`${component}/config.json`);
    if (config === undefined) {
      const there = [...new Set([...files].map((file) => file.split("/")[0]))].sort();
      throw new Error(
        `${name} has no ${component}/config.json, which generating needs; it holds ${there.length === 0 ? "nothing" : someOf(there, 8)}. Get the whole folder of the model.${advice}`,
      );
    }
    const own = options.weights?.get(component) ?? (await openWeights(source, component, options.variant));
    return { name: `${name}/${component}`, config, weights: publishedNames(component, modernIndex(own)) };
  };
  const scheduler = await object("scheduler/scheduler_config.json");
  if (!scheduler)
    throw new Error(
      `${name} has no scheduler/scheduler_config.json, which says how noise is added and what the network predicts. Get the whole folder of the model.`,
    );
  const unet = await part("unet");
  const two = files.has("text_encoder_2/config.json");
  const components = two ? ["text_encoder", "text_encoder_2"] : ["text_encoder"];
  const text = await Promise.all(components.map((component) => part(component)));
  const folders = two ? ["tokenizer", "tokenizer_2"] : ["tokenizer"];
  const tokenizers = await Promise.all(folders.map((folder) => tokenizerFiles(source, files, folder, optional)));
  const vae = await part("vae");
  const safety = options.safety === false ? undefined : await safetyFiles(index, files, part, optional);
  return { name, index, unet, vae, text, tokenizers, scheduler, ...(safety ? { safety } : {}) };
}

/** Newer versions of transformers leave a prefix of CLIP's names away that published files have. */
export function publishedNames(component: string, index: TensorIndex): TensorIndex {
  const [short, long] = component.startsWith("text_encoder")
    ? ["", "text_model."]
    : component === "safety_checker"
      ? ["vision_model.", "vision_model.vision_model."]
      : ["", ""];
  const tower = new RegExp(
    `^${short.replace(".", "\\.")}(embeddings|encoder|pre_layrnorm|post_layernorm|final_layer_norm)\\.`,
  );
  if (long === "" || [...index.tensors.keys()].some((name) => name.startsWith(long))) return index;
  return mapTensors(index, (name, place) => [[tower.test(name) ? long + name.slice(short.length) : name, place]]);
}

/** Bytes of a configuration; those of vocabularies are a few MB. */
const LARGEST_CONFIG = 1 << 25;

/** What is a pipeline of diffusers, and none of Stable Diffusion 1, 2 or XL. */
function refuseOthers(name: string, index: PipelineFiles["index"], files: ReadonlySet<string>): void {
  const kind = typeof index._class_name === "string" ? ` (${index._class_name.slice(0, 80)})` : "";
  const only = "Only Stable Diffusion 1, 2 and XL with a UNet2DConditionModel generate here";
  if (classOf(index, "transformer") || [...files].some((file) => file.startsWith("transformer/")))
    throw new Error(`${name} is a model with a transformer${kind}. ${only}.`);
  if (classOf(index, "text_encoder_3")) throw new Error(`${name} has three text encoders${kind}. ${only}.`);
  if (
    classOf(index, "image_encoder") &&
    !classOf(index, "text_encoder") &&
    classOf(index, "text_encoder") !== undefined
  )
    throw new Error(`${name} has no text encoder${kind}. ${only}.`);
}

async function tokenizerFiles(
  source: RangeSource,
  files: ReadonlySet<string>,
  folder: string,
  optional: (file: string) => Promise<unknown>,
): Promise<TokenizerFiles> {
  const shared = {
    config: await optional(`${folder}/tokenizer_config.json`),
    specialTokens: await optional(`${folder}/special_tokens_map.json`),
    name: `${source.name}/${folder}`,
  };
  // Files of the second tokenizer that differ are its small ones.
  for (const place of [folder, "tokenizer"]) {
    if (files.has(`${place}/vocab.json`) && files.has(`${place}/merges.txt`)) {
      const merges = new TextDecoder().decode(await source.read(`${place}/merges.txt`, LARGEST_CONFIG));
      return { vocab: await optional(`${place}/vocab.json`), merges, ...shared };
    }
    const joint = await optional(`${place}/tokenizer.json`);
    if (joint !== undefined) return { ...fromJoint(joint, `${source.name}/${place}/tokenizer.json`), ...shared };
  }
  throw new Error(
    `${source.name}/${folder} has no vocab.json with merges.txt and no tokenizer.json, so prompts cannot be read. Get the whole folder of the model.`,
  );
}

/** What newer files keep in one. */
function fromJoint(value: unknown, file: string): Pick<TokenizerFiles, "vocab" | "merges"> {
  const model: unknown = typeof value === "object" && value !== null && "model" in value ? value.model : undefined;
  const { vocab, merges } = Object(model) as { vocab?: unknown; merges?: unknown };
  if (!Array.isArray(merges)) throw new Error(`${file} has no "merges", expected the tokenizer of a CLIP model.`);
  const lines = merges.map((pair: unknown) => (Array.isArray(pair) ? pair.join(" ") : String(pair)));
  return { vocab, merges: lines.join("\n") };
}

async function safetyFiles(
  index: PipelineFiles["index"],
  files: ReadonlySet<string>,
  part: (component: string, advice: string) => Promise<PartFiles>,
  optional: (file: string) => Promise<unknown>,
): Promise<PipelineFiles["safety"]> {
  const stated = classOf(index, "safety_checker");
  const there = [...files].some((file) => file.startsWith("safety_checker/"));
  if (!there && !stated) return undefined;
  // Whoever set it to null in the index does not want it.
  if (stated === null) return undefined;
  const advice = " Or generate without its safety checker: --no-safety.";
  const checker = await part("safety_checker", advice).catch((cause: unknown) => {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new Error(message.endsWith(advice) ? message : `${message}${advice}`, { cause });
  });
  const preprocessing = await optional("feature_extractor/preprocessor_config.json");
  return { ...checker, preprocessing: preprocessing ?? {} };
}
