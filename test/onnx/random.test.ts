// Every operator with random operands and attributes: what is imported computes what ONNX Runtime computes from the file,
// with the operands fed and with all of them stored, where what can be is computed while importing.
import { TensorProto_DataType as DataType } from "onnx-buf";
import { describe, expect, test } from "vitest";
import { importOnnx, rules } from "../../src/onnx/index.ts";
import { distance, evaluate, fed, ortOutputs } from "./helpers.ts";
import { single } from "./model.ts";
import { type RandomCase, randomCase, randomCases } from "./randomCases.ts";

const SEEDS = Number(process.env.FEWSTEP_RANDOM_ONNX ?? 12);
/** More for what has the most edges. */
const MANY: Readonly<Record<string, number>> = {
  Resize: 25,
  Pad: 4,
  Slice: 4,
  AveragePool: 4,
  MaxPool: 3,
  ConvTranspose: 4,
};

const show = ({ op, operands, attrs, opset }: RandomCase): string =>
  `${op} v${opset} ${operands.map((x) => (x ? `${x.stored ? "stored " : ""}[${x.shape}]${x.data instanceof BigInt64Array && x.shape.length < 2 ? `=${x.data}` : ""}` : "–")).join(" ")} ${JSON.stringify(attrs, (k, v) => (k.startsWith("$") ? undefined : typeof v === "bigint" ? Number(v) : v))}`;

async function difference(c: RandomCase, folded: boolean): Promise<"refused by ONNX Runtime" | string | null> {
  const operands = folded ? c.operands.map((x) => x && { ...x, stored: true }) : c.operands;
  const model = single(c.op, operands, c.attrs, { opset: c.opset, outputs: c.outputs, type: c.type ?? DataType.FLOAT });
  const wanted = await ortOutputs(model).catch(() => null);
  if (!wanted) return "refused by ONNX Runtime";
  try {
    const { inputs, feeds } = fed(model);
    const outputs = importOnnx(model.bytes, { weights: () => false }).apply(() => {
      throw new Error("no weights");
    }, inputs);
    const named = Object.values(outputs);
    const wrong = named.findIndex((y, i) => y.shape.join() !== wanted[i].shape.join());
    if (wrong >= 0) return `shape [${named[wrong].shape}], expected [${wanted[wrong].shape}]`;
    if (named.every((y) => y.shape.includes(0))) return null;
    const ours = Object.values(await evaluate(outputs, feeds));
    const far = ours.map((y, i) => distance(y, wanted[i].data, 1e-3));
    return far.every((d) => d < 1e-5) ? null : `off by ${far.map((d) => d.toExponential(1))}`;
  } catch (error) {
    return String(error);
  }
}

describe("random nodes agree with ONNX Runtime", () => {
  test.each(Object.keys(randomCases))("%s", async (op) => {
    const wrong: string[] = [];
    let ran = 0;
    const seeds = SEEDS * (MANY[op] ?? 1);
    for (let seed = 0; seed < seeds; seed++) {
      const c = randomCase(op, seed);
      for (const folded of [false, true]) {
        const found = await difference(c, folded);
        if (found === "refused by ONNX Runtime") continue;
        ran++;
        if (found) wrong.push(`${folded ? "folded " : ""}seed ${seed}: ${show(c)}: ${found}`);
      }
    }
    expect(wrong).toEqual([]);
    expect(ran, "cases that ONNX Runtime takes").toBeGreaterThan(seeds);
  });

  test("every operator of ONNX in the table is drawn", () => {
    // Those without an edge of numbers, or that make no sense alone, are in operatorCases.ts and structure.test.ts.
    const elsewhere = ["If", "Constant", "Shape", "Size", "CastLike", "NonZero"];
    const missing = Object.keys(rules).filter(
      (op) => !op.includes(".") && !(op in randomCases) && !elsewhere.includes(op),
    );
    expect(missing).toEqual([]);
  });
});
