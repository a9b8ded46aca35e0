// The closed list of networks that can be trained and sampled.
import { input, type Tensor } from "../graph/index.ts";
import { type DitConfig, dit, ditSize, readDitConfig } from "./dit.ts";
import { type MlpConfig, mlp, readMlpConfig } from "./mlp.ts";
import { type OnnxNetwork, onnxNetwork } from "./onnxNetwork.ts";
import { collectParams, type ParamSpec, type Params } from "./params.ts";
import { unet2d } from "./unet2d.ts";
import { readUNet2DConfig, type UNet2DConfig, unet2dSampleShape } from "./unet2dConfig.ts";

/** What a network is, as JSON. Missing keys of a config take their defaults. */
export interface NetworkSpec {
  readonly family: string;
  readonly config: unknown;
}

interface NetworkOf<Family extends string, Config> {
  readonly family: Family;
  /** The configuration with all defaults filled in; with family it is JSON-able and rebuilds the network. */
  readonly config: Config;
  /** Shape of one sample, without the batch: [C, H, W] or [dim]. */
  readonly sampleShape: readonly number[];
  /** Rows of the label embedding (the last one usually means "no label"), or null for an unconditional network. */
  readonly labelCount: number | null;
  /** x [B, ...sampleShape], tau [B] float32 on the scale 0 to 1000, labels [B] int64. Result shaped as x. */
  apply(p: Params, x: Tensor, tau: Tensor, labels?: Tensor): Tensor;
}

export type Network =
  | NetworkOf<"mlp", MlpConfig>
  | NetworkOf<"dit", DitConfig>
  | NetworkOf<"unet2d", UNet2DConfig>
  | OnnxNetwork;

/**
 * `file`: the model.onnx of a network of family onnx, whose weights lie elsewhere.
 * Throws RangeError for an unknown family or an unsupported configuration, Error for a file that cannot be imported.
 */
export function buildNetwork(spec: NetworkSpec, file?: Uint8Array): Network {
  const { family } = spec;
  if (family === "mlp") {
    const config = readMlpConfig(spec.config);
    const apply = strict(config.classes !== null, (p, x, tau, labels) => mlp(config, p, x, tau, labels));
    return { family, config, sampleShape: [config.dim], labelCount: rows(config.classes), apply };
  }
  if (family === "dit") {
    const config = readDitConfig(spec.config);
    const apply = strict(config.classes !== null, (p, x, tau, labels) => dit(config, p, x, tau, labels));
    return {
      family,
      config,
      sampleShape: [config.channels, ...ditSize(config)],
      labelCount: rows(config.classes),
      apply,
    };
  }
  if (family === "unet2d") {
    const config = readUNet2DConfig(spec.config);
    const apply: Network["apply"] = (p, x, tau, labels) => unet2d(config, p, x, tau, labels);
    return { family, config, sampleShape: unet2dSampleShape(config), labelCount: config.num_class_embeds, apply };
  }
  if (family === "onnx") {
    if (!file) throw new RangeError("A network of family onnx needs its model.onnx, which was not given.");
    return onnxNetwork(spec.config, file);
  }
  throw new RangeError(`There is no network family "${family}"; known are mlp, dit, unet2d and onnx.`);
}

/** The parameters of a network, in order of first use. */
export function collect(network: Network): ParamSpec[] {
  const x = input("x", [1, ...network.sampleShape]);
  const labels = network.labelCount === null ? undefined : input("labels", [1], "int64");
  return collectParams((p) => network.apply(p, x, input("tau", [1]), labels));
}

const rows = (classes: number | null) => (classes === null ? null : classes + 1);

/** Refuses labels for an unconditional network, and their absence for a conditional one. */
const strict =
  (conditional: boolean, apply: Network["apply"]): Network["apply"] =>
  (p, x, tau, labels) => {
    if (conditional !== (labels !== undefined))
      throw new RangeError(
        conditional
          ? "This network is conditioned on classes: labels [B] int64 are needed."
          : "This network has no classes: labels cannot be given.",
      );
    return apply(p, x, tau, labels);
  };
