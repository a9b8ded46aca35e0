// Every operator of the table as a model of one node: what ONNX Runtime computes from the file, and finite differences.
import { TensorProto_DataType as DataType } from "onnx-buf";
import { expect, test } from "vitest";
import { add, constant, grad, input, mul, sum, type Tensor } from "../../src/graph/index.ts";
import { importOnnx, rules } from "../../src/onnx/index.ts";
import { fold, key, normal } from "../../src/random.ts";
import type { Feed } from "../../src/runtime/index.ts";
import { distance, evaluate, fed, ortOutputs } from "./helpers.ts";
import { type Single, single } from "./model.ts";
import { type Case, cases } from "./operatorCases.ts";

/** The outputs as imported, as functions of the fed tensors and the stored weights. */
function imported(single: Single) {
  const model = importOnnx(single.bytes);
  const { inputs, feeds: given } = fed(single);
  const weights = new Map(model.parameters.map((p) => [p.name, input(p.name, p.shape)]));
  const outputs = model.apply((name) => weights.get(name)!, inputs);
  const feeds: Record<string, Feed> = {
    ...given,
    ...Object.fromEntries(model.parameters.map(({ name, data }) => [name, data])),
  };
  const variables = [...Object.values(inputs), ...weights.values()].filter((x) => x.dtype === "float32");
  return { outputs, feeds, variables };
}

const nameOf = ({ source }: Tensor): string => (source.kind === "input" ? source.name : "");

/** The derivative of a random combination of the outputs along a random direction, by the graph and by differences. */
async function derivatives(y: Tensor, variables: readonly Tensor[], feeds: Readonly<Record<string, Feed>>) {
  const loss = sum(
    mul(
      y,
      constant(
        normal(
          key(8),
          y.shape.reduce((a, b) => a * b, 1),
        ),
        y.shape,
      ),
    ),
  );
  const gradients = grad(loss, variables);
  const directions = variables.map((x, i) =>
    normal(
      fold(key(9), i),
      x.shape.reduce((a, b) => a * b, 1),
    ),
  );
  const along = gradients.map((d, i) => sum(mul(d, constant(directions[i], d.shape)))).reduce((a, b) => add(a, b));
  const step = 1e-3;
  const moved = (by: number): Record<string, Feed> => ({
    ...feeds,
    ...Object.fromEntries(
      variables.map((x, i) => {
        const data = feeds[nameOf(x)] as Float32Array;
        return [nameOf(x), data.map((v, k) => v + by * directions[i][k])];
      }),
    ),
  });
  const exact = (await evaluate({ along }, feeds)).along[0];
  const [up, down] = [await evaluate({ loss }, moved(step)), await evaluate({ loss }, moved(-step))];
  return { exact, differences: (up.loss[0] - down.loss[0]) / (2 * step) };
}

test.each<[string, Case]>(cases.map((c) => [c.name, c]))("%s", async (_, c) => {
  const model = single(c.op, c.operands, c.attrs ?? {}, {
    opset: c.opset ?? 17,
    outputs: c.outputs,
    type: c.type ?? DataType.FLOAT,
  });
  const wanted = await ortOutputs(model);
  const { outputs, feeds, variables } = imported(model);
  const ours = await evaluate(outputs, feeds);
  Object.values(ours).forEach((y, i) => {
    expect(distance(y, wanted[i].data), `output ${i}`).toBeLessThan(c.tolerance ?? 3e-6);
  });
  if (c.flat || variables.length === 0) return;
  const { exact, differences } = await derivatives(Object.values(outputs)[0], variables, feeds);
  expect(Math.abs(exact - differences)).toBeLessThan(2e-2 * Math.max(1, Math.abs(differences)));
});

test("every operator of the table has a case", () => {
  const covered = new Set(cases.map(({ op }) => op));
  // Those that make no sense as a single node of floats are in structure.test.ts.
  const elsewhere = ["If", "Constant", "Shape", "Size", "CastLike", "NonZero"];
  expect(Object.keys(rules).filter((op) => !covered.has(op) && !elsewhere.includes(op))).toEqual([]);
});
