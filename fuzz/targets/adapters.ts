import { memorySource } from "../../src/data/source.ts";
import { indexFile, readTensor } from "../../src/data/tensorIndex.ts";
import { readLora } from "../../src/diffusers/lora.ts";
import { isSingleFile, splitSingleFile } from "../../src/diffusers/singleFile.ts";
import { readTextualInversion } from "../../src/diffusers/textualInversion.ts";
import * as mutate from "../mutate.ts";
import { type Input, otherValues, type Target } from "../target.ts";
import { expected, file, tensors } from "./safetensors.ts";
import { damagedSum, torchFile } from "./torch.ts";

const textualInversion = async (): Promise<Target> => ({
  make(rng): Input {
    if (rng.chance(0.4)) return { "word.pt": torchFile(rng, [rng.pick(["<cat>", "*", "string_to_param"])]) };
    const name = rng.pick(["emb_params", "<cat>", "word"]);
    return {
      "word.safetensors": file(
        rng,
        tensors(rng, [name, ...(rng.chance(0.1) ? ["more"] : [])], () => [1 + rng.int(3), 4].slice(rng.int(2)), [
          "F32",
          "F16",
          "F32",
          "I64",
        ]),
      ),
    };
  },
  read(files) {
    const [name] = Object.keys(files);
    const { token, vectors } = readTextualInversion(files[name], name);
    if (new Set(vectors.map(({ length }) => length)).size !== 1 || vectors[0].length === 0)
      return "vectors of several lengths, or none";
    if (name.endsWith(".pt")) return damagedSum(files[name]);
    const key =
      token === "word" && JSON.stringify(new TextDecoder().decode(files[name])).includes("emb_params")
        ? "emb_params"
        : token;
    const wanted = expected(files[name], key);
    return otherValues(
      vectors.flatMap((v) => [...v]),
      wanted.values,
      "vectors",
    );
  },
});

const modules = ["unet.down_blocks.0.attn.to_q", "unet.mid_block.proj_in", "text_encoder.layers.0.q_proj"];
const lora = async (): Promise<Target> => ({
  make(rng) {
    const rank = 1 + rng.int(3);
    const kohya = rng.chance(0.4);
    const names = modules.slice(0, 1 + rng.int(3)).flatMap((name) => {
      const base = kohya ? `lora_${name.replaceAll(".", "_").replace("text_encoder", "te")}` : name;
      const [down, up] = kohya ? [".lora_down.weight", ".lora_up.weight"] : [".lora_A.weight", ".lora_B.weight"];
      return [base + down, base + up, ...(kohya && rng.chance(0.7) ? [`${base}.alpha`] : [])];
    });
    const made = tensors(
      rng,
      names.map((name) => (rng.chance(0.03) ? mutate.text(rng, name) : name)),
      (name) => (/alpha/.test(name) ? [] : /lora_down|lora_A/.test(name) ? [rank, 4] : [4, rank]),
      ["F32", "F16", "BF16"],
    );
    if (rng.chance(0.2))
      made.header.__metadata__ = {
        lora_adapter_metadata: mutate.jsonText(
          mutate.json(rng, { "unet.lora_alpha": 4, "unet.alpha_pattern": { "mid_block.proj_in": 2 } }),
        ),
      };
    return { "lora.safetensors": file({ ...rng, chance: (p) => rng.chance(p / 3) }, made) };
  },
  async read(files) {
    const index = await indexFile(memorySource(files, "l"), "lora.safetensors");
    const found = await readLora(index);
    const used = found.reduce((n, { up, down }) => n + up.length + down.length, 0);
    const stored = [...index.tensors].reduce(
      (n, [name, { shape }]) => n + (/alpha$/.test(name) ? 0 : shape.reduce((a, b) => a * b, 1)),
      0,
    );
    if (used !== stored) return `${used} values of ${stored}`;
    const bad = found.find(({ alpha }) => !Number.isFinite(alpha));
    return bad ? `${bad.key} has the alpha ${bad.alpha}` : undefined;
  },
});

const originals = [
  ...[
    "input_blocks.0.0.weight",
    "input_blocks.1.0.in_layers.0.weight",
    "input_blocks.3.0.op.weight",
    "middle_block.1.proj_in.weight",
    "out.2.bias",
  ].map((n) => `model.diffusion_model.${n}`),
  ...[
    "encoder.down.0.block.0.norm1.weight",
    "decoder.up.1.upsample.conv.weight",
    "decoder.mid.attn_1.q.weight",
    "quant_conv.weight",
  ].map((n) => `first_stage_model.${n}`),
  ...[
    "cond_stage_model.transformer.text_model.final_layer_norm.weight",
    "cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight",
    "conditioner.embedders.1.model.text_projection",
    "alphas_cumprod",
  ],
];
const singleFile = async (): Promise<Target> => ({
  make(rng) {
    const names = originals
      .filter(() => rng.chance(0.6))
      .map((name) => (rng.chance(0.05) ? mutate.text(rng, name) : name));
    return {
      "model.safetensors": file(
        { ...rng, chance: (p) => rng.chance(p / 4) },
        tensors(
          rng,
          [...new Set(names)],
          (name) => (/in_proj/.test(name) ? [3, 2] : /projection/.test(name) ? [2, 3] : [2, 2, 1, 1].slice(rng.int(4))),
          ["F16", "F32"],
        ),
      ),
    };
  },
  async read(files) {
    const index = await indexFile(memorySource(files, "s"), "model.safetensors");
    isSingleFile(index);
    const { parts, ignored } = splitSingleFile(index);
    const bytes = [...parts.values()]
      .flatMap(({ tensors: of }) => [...of.values()])
      .reduce((n, { start, end }) => n + end - start, 0);
    const all = [...index.tensors.values()].reduce((n, { start, end }) => n + end - start, 0);
    for (const part of parts.values())
      for (const name of part.tensors.keys()) await readTensor(part, name).catch((e: Error) => e);
    return bytes > all || (ignored.length === 0 && bytes !== all) ? `${bytes} bytes of ${all} are used` : undefined;
  },
});

export const adapters = { textualInversion, lora, singleFile };
