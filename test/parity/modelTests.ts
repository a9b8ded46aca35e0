// The tests of a golden model folder (kinds stable-diffusion and stable-diffusion-xl), for every part that it has.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { PipelineParts } from "../../src/diffusers/pipelineParts.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { type GoldenParts, tally, toleranceOf } from "./cases.ts";
import { type GoldenFile, goldenOf } from "./folders.ts";
import { type PipelineCase, partsOf, pipelineErrors } from "./pipelineCases.ts";
import { type TextCase, textEncoderIn, textErrors } from "./textCases.ts";
import { type TokenizerCases, tokenizerDifferences, tokenizerIn } from "./tokenizerCases.ts";
import { type UNetCase, unetErrors, unetOf } from "./unetCases.ts";
import { type VaeCases, vaeErrors, vaeIn } from "./vaeCases.ts";

export interface ModelGolden extends GoldenParts {
  readonly tokenizer?: TokenizerCases;
  readonly tokenizer_2?: TokenizerCases;
  readonly text?: readonly TextCase[];
  readonly unet?: { readonly cases: readonly UNetCase[] };
  readonly vae?: VaeCases;
  readonly pipelines?: Readonly<Record<string, PipelineCase>>;
}

export type ModelFile<T = unknown> = GoldenFile<ModelGolden & T>;

/** Declares them; what is returned is the files, for further tests. */
export function testModels(kind: "stable-diffusion" | "stable-diffusion-xl"): readonly ModelFile[] {
  const files = goldenOf<ModelGolden>(kind);
  const runtime = nodeRuntime();
  afterAll(() => expect(runtime.open()).toBe(0));
  const slow = 120_000;

  describe(`${kind}: tokenizers`, () => {
    const components = ["tokenizer", "tokenizer_2"] as const;
    const asked = files.filter(({ golden }) => components.some((component) => golden[component]));
    const counted = tally(kind, "prompt");
    for (const one of asked)
      for (const component of components) {
        const cases = one.golden[component];
        if (!cases) continue;
        const tokenizer = tokenizerIn(one.folder, component, cases.vocabulary);
        for (const c of cases.prompts)
          it(`${one.name}: ${component} ${JSON.stringify(c.prompt).slice(0, 40)}`, () => {
            const wrong = tokenizerDifferences(tokenizer, { ...cases, prompts: [c] });
            expect(wrong).toEqual([]);
            counted.check(new Map([[c.prompt, wrong.length]]), 0);
          });
      }
    it("ran every case that exists", () => counted.report(asked));
  });

  describe(`${kind}: text encoders`, () => {
    const asked = files.filter(({ golden }) => golden.text?.length);
    const counted = tally(kind, "text encoder");
    for (const one of asked)
      for (const c of one.golden.text!)
        it(`${one.name}: ${c.component}`, { timeout: slow }, async () => {
          const errors = await textErrors(one, textEncoderIn(one.folder, c.component), c, runtime);
          counted.check(errors, toleranceOf(one, "text", 5e-5));
        });
    it("ran every case that exists", () => counted.report(asked));
  });

  describe(`${kind}: U-Net`, () => {
    const asked = files.filter(({ golden }) => golden.unet?.cases.length);
    const counted = tally(kind, "U-Net");
    for (const one of asked)
      for (const c of one.golden.unet!.cases)
        it(`${one.name}: ${c.id}`, { timeout: slow }, async () => {
          counted.check(await unetErrors(one, unetOf(one), c, runtime), toleranceOf(one, "unet", 1e-4));
        });
    it("ran every case that exists", () => counted.report(asked));
  });

  describe(`${kind}: VAE`, () => {
    const asked = files.filter(({ golden }) => golden.vae);
    const counted = tally(kind, "VAE");
    for (const one of asked)
      for (const folder of vaeFolders(one.folder))
        it(`${one.name}: ${folder}`, { timeout: slow }, async () => {
          const errors = await vaeErrors(one, vaeIn(join(one.folder, folder)), one.golden.vae!, runtime);
          counted.check(errors, toleranceOf(one, "vae", 1e-4));
        });
    it("ran every case that exists", () => counted.report(asked));
  });

  describe(`${kind}: pipelines`, () => {
    const asked = files.filter(({ golden }) => golden.pipelines);
    const counted = tally(kind, "pipeline");
    const components = kind === "stable-diffusion" ? ["text_encoder"] : ["text_encoder", "text_encoder_2"];
    for (const one of asked) {
      let parts: PipelineParts | undefined;
      for (const [name, c] of Object.entries(one.golden.pipelines!))
        it(`${one.name}: ${name}`, { timeout: slow }, async () => {
          parts ??= partsOf(one, components);
          counted.check(await pipelineErrors(one, parts, c, runtime), toleranceOf(one, "pipelines", 1e-3));
        });
    }
    it("ran every case that exists", () => counted.report(asked));
  });
  return files;
}

/** "vae", and the same weights under other names, "vae-…". */
const vaeFolders = (folder: string): string[] =>
  readdirSync(folder).filter((name) => /^vae(-|$)/.test(name) && existsSync(join(folder, name, "config.json")));
