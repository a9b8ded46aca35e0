// That golden files are found at all, and that none of them is of a kind nobody reads.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readAutoencoderTinyConfig } from "../../src/nn/autoencoderTiny.ts";
import { readClipVisionConfig } from "../../src/nn/clipConfig.ts";
import { readControlNetConfig } from "../../src/nn/controlNetConfig.ts";
import {
  autoencoderKlParams,
  autoencoderTinyParams,
  checkParams,
  clipTextParams,
  clipVisionParams,
  controlNetParams,
  t2iAdapterParams,
  unetParams,
} from "../../src/nn/diffusersParams.ts";
import type { ParamSpec } from "../../src/nn/params.ts";
import { readT2IAdapterConfig } from "../../src/nn/t2iAdapter.ts";
import { readUNet2DConditionConfig } from "../../src/nn/unet2dConditionConfig.ts";
import { weightsIn } from "./cases.ts";
import { allGolden, goldenOf, kinds, readJson, vocabularyFolder } from "./folders.ts";
import { textEncoderIn } from "./textCases.ts";
import { vaeIn } from "./vaeCases.ts";

test("there are golden files, all of known kinds", () => {
  const files = allGolden();
  for (const kind of kinds) {
    const count = goldenOf(kind).length;
    if (count > 0) console.log(`${kind}: ${count} files`);
  }
  expect(files.length, "golden files").toBeGreaterThan(0);
  const strange = files.filter(({ kind }) => !kinds.some((known) => known === kind));
  expect(strange.map(({ file, kind }) => `${file} is of kind ${kind}`)).toEqual([]);
});

test("a model without a vocabulary takes the one beside it", () => {
  for (const { folder } of goldenOf("stable-diffusion-xl"))
    expect(existsSync(join(vocabularyFolder(folder), "merges.txt"))).toBe(true);
});

test("every network has exactly the parameters of its weights", () => {
  let checked = 0;
  const check = (folder: string, spec: (config: unknown) => ParamSpec[]) => {
    if (!existsSync(join(folder, "config.json"))) return;
    checkParams(spec(readJson(folder, "config.json")), weightsIn(folder), folder);
    checked++;
  };
  const asked = [
    ...goldenOf("stable-diffusion"),
    ...goldenOf("stable-diffusion-xl"),
    ...goldenOf("inpaint"),
    ...goldenOf("multiview"),
  ];
  for (const { folder } of asked) {
    check(join(folder, "unet"), (config) => unetParams(readUNet2DConditionConfig(config)));
    for (const name of ["vae", "vae-legacy-names"])
      check(join(folder, name), () => autoencoderKlParams(vaeIn(join(folder, name)).config));
    for (const name of ["text_encoder", "text_encoder_2"])
      check(join(folder, name), () => clipTextParams(textEncoderIn(folder, name).config));
  }
  const addOns = [
    ...goldenOf("controlnet").map(({ folder }) => [folder, controlNetOf] as const),
    ...goldenOf("t2i-adapter").map(({ folder }) => [folder, t2iOf] as const),
    ...goldenOf("ip-adapter").map(({ folder }) => [join(folder, "image_encoder"), visionOf] as const),
    ...goldenOf("vae-extras").map(({ folder }) => [join(folder, "taesd"), tinyOf] as const),
  ];
  for (const [folder, spec] of addOns) check(folder, spec);
  console.log(`parameters of ${checked} networks`);
  expect(checked).toBeGreaterThanOrEqual(asked.length + addOns.length > 0 ? 1 : 0);
});

const controlNetOf = (config: unknown) => controlNetParams(readControlNetConfig(config));
const t2iOf = (config: unknown) => t2iAdapterParams(readT2IAdapterConfig(config));
const visionOf = (config: unknown) => clipVisionParams(readClipVisionConfig(config));
const tinyOf = (config: unknown) => autoencoderTinyParams(readAutoencoderTinyConfig(config));
