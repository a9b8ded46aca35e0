// Every command of the pages on Stable Diffusion runs, on a tiny model in place of the large one.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { encodePng } from "../../src/data/png.ts";
import { unetParams } from "../../src/nn/diffusersParams.ts";
import { readUNet2DConditionConfig } from "../../src/nn/unet2dConditionConfig.ts";
import { randomWeights } from "../support/tinyDiffusion.ts";
import {
  tinyUNetKeys,
  writeTinyControlNet,
  writeTinyFolder,
  writeTinyIpAdapter,
  writeWeights,
} from "../support/tinyFolder.ts";
import { fewstep, root, scratchOnce } from "./fewstep.ts";

const { at } = scratchOnce();
const linesOf = (page: string) =>
  [...readFileSync(join(root, page), "utf8").matchAll(/```sh\n([\s\S]*?)```/g)].flatMap(([, block]) =>
    block.trim().split("\n"),
  );
const pages = ["docs/stable-diffusion.md", "docs/accelerate-stable-diffusion.md"];

/** Names of the pages that are files or folders of the test's. */
const isPath = (word: string) =>
  /\.(png|safetensors|txt)(:[\d.]+)?$/.test(word) ||
  /^(stable-diffusion-v1-5|control-\w+|captioned|fine-tuned(-perflow)?|runs\/[\w-]+|[\w-]+-sd15)$/.test(word);

/** What pages ask of large models, made small: flags that come later win. */
const small: Readonly<Record<string, string>> = { images: "8", batch: "4", "teacher-steps": "2", pairs: "4" };

beforeAll(() => {
  writeTinyFolder(at("stable-diffusion-v1-5"));
  for (const name of ["control-tile", "control-edges"]) writeTinyControlNet(at(name));
  mkdirSync(at("ip"));
  writeTinyIpAdapter(at("ip"));
  writeWeights(at("perflow-delta.safetensors"), randomWeights(unetParams(readUNet2DConditionConfig(tinyUNetKeys)), 21));
  const key = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q";
  const init = "default" as const;
  const lora = [
    { name: `${key}.lora_A.weight`, shape: [2, 8], init },
    { name: `${key}.lora_B.weight`, shape: [8, 2], init },
  ];
  writeWeights(at("style.safetensors"), randomWeights(lora, 22));
  writeWeights(at("thing.safetensors"), randomWeights([{ name: "thing", shape: [8], init }], 23));
  writeTinyFolder(at("fine-tuned"), { seed: 31 });
  mkdirSync(at("captioned"));
  for (let k = 0; k < 4; k++) {
    const data = Uint8Array.from({ length: 192 }, (_, i) => 127 + 120 * Math.sin(i / (5 + k)));
    writeFileSync(at(`captioned/${k}.png`), encodePng({ width: 8, height: 8, channels: 3, data }));
    writeFileSync(at(`captioned/${k}.txt`), ["a lighthouse", "a boat", "", "a house at night"][k]);
  }
  writeFileSync(at("edges.png"), encodePng({ width: 8, height: 8, channels: 3, data: new Uint8Array(192).fill(90) }));
});

// In order: some read what those before wrote.
for (const page of pages)
  describe(page, () => {
    const lines = linesOf(page);
    it("there are commands", () => expect(lines.length).toBeGreaterThan(10));
    for (const line of lines)
      it(line.slice(0, 120), { timeout: 120_000 }, async () => {
        const words = [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain);
        expect(words.shift()).toBe("fewstep");
        const args = words.map((word) => {
          const [, token, path] = /^(word=)?(.*)$/.exec(word) ?? ["", "", word];
          return isPath(path) ? `${token ?? ""}${at(path)}` : word;
        });
        const trains = args[0] === "accelerate" && !args.includes("--resume");
        const smaller = Object.entries(small).flatMap(([flag, value]) =>
          args.includes(`--${flag}`) || flag === "images" ? [`--${flag}`, value] : [],
        );
        const { code, err } = await fewstep(...args, ...(trains ? [...smaller, "--cache-dir", at("cache")] : []));
        expect(code, err).toBe(0);
      });
  });
