// Every parser of the product. Each is loaded where it is tried: a child process starts with no more than it needs.
import type { Target } from "../target.ts";

type Load = () => Promise<Target>;

const pictures =
  (name: "png" | "jpeg" | "webp"): Load =>
  async () =>
    (await import("./pictures.ts")).pictures[name]();
const datasets =
  (name: "idx" | "classFolders" | "glob"): Load =>
  async () =>
    (await import("./datasets.ts")).datasets[name]();
const archives =
  (name: "tar" | "webDataset"): Load =>
  async () =>
    (await import("./archives.ts")).archives[name]();
const tensors =
  (name: "safetensors" | "shards"): Load =>
  async () =>
    (await import("./safetensors.ts")).safetensorsFiles[name]();
const adapters =
  (name: "textualInversion" | "lora" | "singleFile"): Load =>
  async () =>
    (await import("./adapters.ts")).adapters[name]();
const folders =
  (name: "captions" | "pipelineFolder" | "encodedLatents" | "reference" | "tensorKinds"): Load =>
  async () =>
    (await import("./folders.ts")).folderFiles[name]();
const onnx =
  (name: "onnx" | "onnxExport"): Load =>
  async () =>
    (await import("./onnxFiles.ts")).onnxFiles[name]();
const configs =
  (name: "card" | "network" | "config" | "json"): Load =>
  async () =>
    (await import("./configs.ts")).configs[name]();
const runs =
  (name: "state" | "stageResult" | "log" | "runInfo" | "lock"): Load =>
  async () =>
    (await import("./runs.ts")).runFiles[name]();
const pairs =
  (name: "pairShard" | "pairsFolder"): Load =>
  async () =>
    (await import("./pairFiles.ts")).pairFiles[name]();
const reports =
  (name: "reportFolder" | "measured" | "plan"): Load =>
  async () =>
    (await import("./reportFiles.ts")).reportFiles[name]();
const texts =
  (name: "cli" | "optionFiles" | "emphasis" | "tokenizer"): Load =>
  async () =>
    (await import("./texts.ts")).texts[name]();
const words =
  (name: "exact" | "part" | "pngText" | "deltaCard"): Load =>
  async () =>
    (await import("./words.ts")).words[name]();

export const targets: Readonly<Record<string, Load>> = {
  png: pictures("png"),
  jpeg: pictures("jpeg"),
  webp: pictures("webp"),
  idx: datasets("idx"),
  classFolders: datasets("classFolders"),
  glob: datasets("glob"),
  tar: archives("tar"),
  webDataset: archives("webDataset"),
  captions: folders("captions"),
  safetensors: tensors("safetensors"),
  shards: tensors("shards"),
  torch: async () => (await import("./torch.ts")).torchFiles.torch(),
  textualInversion: adapters("textualInversion"),
  lora: adapters("lora"),
  singleFile: adapters("singleFile"),
  pipelineFolder: folders("pipelineFolder"),
  encodedLatents: folders("encodedLatents"),
  reference: folders("reference"),
  tensorKinds: folders("tensorKinds"),
  onnx: onnx("onnx"),
  onnxExport: onnx("onnxExport"),
  card: configs("card"),
  network: configs("network"),
  config: configs("config"),
  json: configs("json"),
  scheduler: async () => (await import("./schedulers.ts")).samplers.scheduler(),
  state: runs("state"),
  stageResult: runs("stageResult"),
  log: runs("log"),
  runInfo: runs("runInfo"),
  lock: runs("lock"),
  pairShard: pairs("pairShard"),
  pairsFolder: pairs("pairsFolder"),
  reportFolder: reports("reportFolder"),
  measured: reports("measured"),
  plan: reports("plan"),
  cli: texts("cli"),
  optionFiles: texts("optionFiles"),
  emphasis: texts("emphasis"),
  tokenizer: texts("tokenizer"),
  exact: words("exact"),
  part: words("part"),
  pngText: words("pngText"),
  deltaCard: words("deltaCard"),
};
export const parsers: readonly string[] = Object.keys(targets);
