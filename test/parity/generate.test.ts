// The golden pipelines through the command line: the picture that is written is the golden one, to a level of 255.
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { encodePng } from "../../src/data/png.ts";
import { floatsOf, writeSafetensors } from "../../src/data/safetensors.ts";
import { decodeImage } from "../../src/node/decode.ts";
import { fewstep } from "../cli/fewstep.ts";
import { type GoldenParts, tally } from "./cases.ts";
import { baseOf, type GoldenFile, goldenOf, goldenTensors, type Kind, vocabularyFolder } from "./folders.ts";
import type { PipelineCase } from "./pipelineCases.ts";

type Golden = GoldenParts & {
  readonly pipelines?: Readonly<Record<string, Case>>;
  readonly file?: string;
  readonly files?: readonly string[];
};
type Case = PipelineCase & {
  readonly merge?: string;
  readonly controlnet_conditioning_scale?: number;
  readonly control_image_first_entry?: string;
};
const scratch = mkdtempSync(join(tmpdir(), "fewstep-golden-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** A folder as a user has it: golden ones may borrow their vocabulary. */
function wholeFolder(folder: string, name: string): string {
  const at = join(scratch, name);
  if (existsSync(at)) return at;
  mkdirSync(at, { recursive: true });
  for (const entry of readdirSync(folder).filter((entry) => !entry.startsWith("golden")))
    if (entry.startsWith("tokenizer")) cpSync(join(folder, entry), join(at, entry), { recursive: true });
    else symlinkSync(join(folder, entry), join(at, entry));
  for (const file of ["vocab.json", "merges.txt"])
    cpSync(join(vocabularyFolder(folder), file), join(at, "tokenizer", file));
  return at;
}

/** Runs that start from given noise alone and have a picture. */
function askedOf(kind: Kind) {
  return goldenOf<Golden>(kind).flatMap((one) =>
    Object.entries(one.golden.pipelines ?? {})
      .filter(([, c]) => c.kind === "text2img" && c.tensors.image && !c.tensors.noise && told(c))
      .map(([name, c]) => ({ one, name, c })),
  );
}
/** The command line has no sizes for the negative prompt. */
const told = ({ time_ids, negative_time_ids }: PipelineCase) =>
  time_ids === undefined || String(time_ids) === String(negative_time_ids);

/** What stands on the command line beside the base: several ways that give the same. */
const addOns: Partial<Record<Kind, (one: GoldenFile<Golden>, c: Case) => readonly string[][]>> = {
  delta: (one, c) => [
    ["--delta", join(one.folder, one.golden.file ?? "delta_weights.safetensors"), "--merge", c.merge ?? "fp32"],
  ],
  lora: ({ folder, golden }) => (golden.files ?? []).map((file) => ["--lora", join(folder, file)]),
  controlnet: (one, c) => [
    [
      ...["--controlnet", one.folder, "--control", controlPicture(one, c.control_image_first_entry!)],
      ...["--control-scale", `${c.controlnet_conditioning_scale}`],
    ],
  ],
};

/** The first picture of a golden tensor [B, 3, H, W] in 0 to 1, as a PNG. */
function controlPicture(one: GoldenFile<Golden>, name: string): string {
  const tensors = goldenTensors(one);
  const [, channels, height, width] = tensors.get(name)!.shape;
  const values = floatsOf(tensors, name);
  const area = width * height;
  const data = Uint8Array.from({ length: channels * area }, (_, i) =>
    Math.round(255 * values[(i % channels) * area + Math.floor(i / channels)]),
  );
  const file = join(scratch, `${name}.png`);
  writeFileSync(file, encodePng({ width, height, channels: 3, data }));
  return file;
}

/** Levels of 255. Half of one is rounding; a control picture is rounded as well before it is read. */
const tolerance: Partial<Record<Kind, number>> = { controlnet: 2 };

for (const kind of ["stable-diffusion", "stable-diffusion-xl", "delta", "lora", "controlnet"] as const)
  describe(`generate: ${kind}`, () => {
    const counted = tally(kind, "picture of generate");
    const asked = askedOf(kind);
    const all = asked.flatMap(({ one, name, c }) =>
      (addOns[kind]?.(one, c) ?? [[]]).map((more, way) => ({ one, name, c, more, way })),
    );
    for (const { one, name, c, more, way } of all)
      it(`${one.name}: ${name}${way > 0 ? ` (${way + 1})` : ""}`, { timeout: 120_000 }, async () => {
        const tensors = goldenTensors(one);
        const start = c.tensors.init_latents!;
        const shape = tensors.get(start)!.shape;
        const file = (end: string) => join(scratch, `${kind}-${name}-${way}${end}`);
        writeFileSync(
          file(".safetensors"),
          writeSafetensors({ noise: { dtype: "F32", shape, data: floatsOf(tensors, start) } }),
        );
        writeFileSync(file(".json"), JSON.stringify({ ...c.scheduler_config, _class_name: c.scheduler }));
        const golden = tensors.get(c.tensors.image!)!;
        const [, , height, width] = golden.shape;
        const sizes = c.time_ids ?? [];
        const { code, err } = await fewstep(
          ...["generate", wholeFolder(baseOf(one), `${kind}-${one.name.replaceAll("/", "-")}`), "--prompt", c.prompt],
          ...(c.negative_prompt ? ["--negative", c.negative_prompt] : []),
          ...["--steps", `${c.steps}`, "--guidance", `${c.guidance_scale}`, "--scheduler", file(".json")],
          ...["--noise", file(".safetensors"), "--width", `${width}`, "--height", `${height}`, "--out", file(".png")],
          ...(sizes.length > 0
            ? [
                "--original-size",
                `${sizes[1]}x${sizes[0]}`,
                "--crop-top",
                `${sizes[2]}`,
                "--crop-left",
                `${sizes[3]}`,
                "--target-size",
                `${sizes[5]}x${sizes[4]}`,
              ]
            : []),
          ...more,
        );
        expect(code, err).toBe(0);
        const { data, channels } = await decodeImage(new Uint8Array(readFileSync(file(".png"))), name);
        const want = floatsOf(tensors, c.tensors.image!);
        const area = width * height;
        const off = data.reduce((worst, value, i) => {
          const golden =
            255 * Math.min(1, Math.max(0, want[(i % channels) * area + Math.floor(i / channels)] / 2 + 0.5));
          return Math.max(worst, Math.abs(value - golden));
        }, 0);
        counted.check(new Map([[name, off]]), tolerance[kind] ?? 1);
      });
    it("ran every case that exists", () => counted.report(asked.map(({ one }) => one)));
  });
