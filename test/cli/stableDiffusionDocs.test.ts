// Every command of docs/stable-diffusion.md runs, on a tiny model in place of the large one.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
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
const page = readFileSync(join(root, "docs/stable-diffusion.md"), "utf8");
const lines = [...page.matchAll(/```sh\n([\s\S]*?)```/g)].flatMap(([, block]) => block.trim().split("\n"));

/** Names of the page that are files or folders of the test's. */
const isPath = (word: string) =>
  /\.(png|safetensors)(:[\d.]+)?$/.test(word) || /^(stable-diffusion-v1-5|control-\w+)$/.test(word);

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
  writeFileSync(at("edges.png"), encodePng({ width: 8, height: 8, channels: 3, data: new Uint8Array(192).fill(90) }));
});

it("there are commands", () => expect(lines.length).toBeGreaterThan(10));

// In order: some read what those before wrote.
for (const line of lines)
  it(line.slice(0, 120), { timeout: 120_000 }, async () => {
    const words = [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain);
    expect(words.shift()).toBe("fewstep");
    const args = words.map((word) => {
      const [, token, path] = /^(word=)?(.*)$/.exec(word) ?? ["", "", word];
      return isPath(path) ? `${token ?? ""}${at(path)}` : word;
    });
    const { code, err } = await fewstep(...args);
    expect(code, err).toBe(0);
  });
