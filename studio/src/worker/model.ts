// From a model's files to a model, and back.
import {
  type Card,
  collect,
  type FolderModel,
  flatten,
  modelOf,
  type ParamMap,
  parseCard,
  readFolder,
  readOnnxFolder,
  readSafetensors,
  type Start,
  startOf,
  unflatten,
  writeSafetensors,
} from "fewstep/browser";
import type { ModelFiles, ModelParts } from "./protocol.ts";

/** Throws an Error, one sentence, for files that are no model or do not fit each other. */
export function openModel({ card: given, weights }: { readonly card: unknown; readonly weights: Uint8Array }): {
  readonly start: Start;
  readonly card: Card;
} {
  const card = parseCard(given);
  if (card.network.family === "onnx")
    throw new Error("This model is an imported ONNX network, whose model.onnx the page does not read with a card yet.");
  const built = modelOf(card);
  const spec = collect(built.network);
  const params: ParamMap = new Map(
    [...readSafetensors(weights, "model.safetensors").tensors].map(([name, { shape, data }]) => {
      if (!(data instanceof Float32Array)) throw new Error(`The weight ${name} is not stored as floats.`);
      return [name, { shape, data }];
    }),
  );
  const theta = flatten(spec, params);
  const broken = theta.findIndex((value) => !Number.isFinite(value));
  if (broken >= 0) throw new Error(`The weights hold ${theta[broken]}, so the file is damaged.`);
  return { start: startOf({ ...built, spec, theta, sampler: card.sampler }), card };
}

/** The weights of a model as its file, with what they say of themselves of how far training had come. */
export function weightsFile(spec: Start["spec"], theta: Float32Array, card: Card): ModelParts {
  const metadata = { format: "pt", imagesSeen: String(card.imagesSeen), teacherNfe: String(card.teacherNfe) };
  return { card, weights: writeSafetensors(unflatten(spec, theta), metadata) };
}

/** Any model, with what a user should read of it. Throws an Error, one sentence. */
export function openFiles(files: ModelFiles): { readonly start: Start; readonly notes: readonly string[] } {
  if (files.kind !== "onnx" && files.kind !== "diffusers") return { start: openModel(files).start, notes: [] };
  const { name, scheduler } = files;
  const found: FolderModel =
    files.kind === "onnx"
      ? readOnnxFolder({
          name,
          part: files.part,
          file: files.file,
          externalData: new Map(),
          config: files.config,
          scheduler,
        })
      : readFolder({ name, unet: files.unet, scheduler, tensors: readSafetensors(files.weights, name).tensors });
  const spec = collect(found.network);
  return { start: startOf({ ...found, spec, theta: flatten(spec, found.params) }), notes: found.notes };
}
