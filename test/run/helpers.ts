import { type Form, type Prediction, velocity } from "../../src/core/index.ts";
import { networkModel } from "../../src/model.ts";
import { initialize } from "../../src/nn/initialize.ts";
import { buildNetwork, collect } from "../../src/nn/network.ts";
import { fromConstants, unflatten } from "../../src/nn/params.ts";
import { fold, key } from "../../src/random.ts";

/** An MLP in the plane with random weights everywhere, so that its output is not zero. */
export function tinyModel(form: Form, prediction: Prediction = velocity, classes: number | null = null) {
  const network = buildNetwork({ family: "mlp", config: { dim: 2, width: 16, depth: 1, classes } });
  const spec = collect(network).map((s) => ({ ...s, init: { normal: 0.3 } }));
  const theta = initialize(spec, fold(key(5), "tiny"));
  return {
    network,
    spec,
    theta,
    model: networkModel(network, form, prediction, { scale: 1000, offset: 0 }),
    params: fromConstants(unflatten(spec, theta)),
  };
}
