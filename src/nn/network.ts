// The closed list of networks that can be trained and sampled.

import { type Columns, type Cond, checkCond, labelColumn, numberColumn } from "../condition.ts";
import { show } from "../core/show.ts";
import { input, type Tensor } from "../graph/index.ts";
import { type DitConfig, dit, ditSize, readDitConfig } from "./dit.ts";
import type { MethodConditions } from "./embed.ts";
import { type ExactConfig, exact, readExactConfig } from "./exact.ts";
import { type FrozenBase, lowRankNetwork } from "./lowRankNetwork.ts";
import { type MlpConfig, mlp, readMlpConfig } from "./mlp.ts";
import { type OnnxNetwork, onnxNetwork } from "./onnxNetwork.ts";
import { collectParams, type ParamSpec, type Params } from "./params.ts";
import { unet2d } from "./unet2d.ts";
import { applyConditional, conditionalColumns, conditionalSampleShape } from "./unet2dConditional.ts";
import { readUNet2DConditionConfig, type UNet2DConditionConfig } from "./unet2dConditionConfig.ts";
import { readUNet2DConfig, type UNet2DConfig, unet2dSampleShape } from "./unet2dConfig.ts";

/** What a network is, as JSON. Missing keys of a config take their defaults. */
export interface NetworkSpec {
  readonly family: string;
  readonly config: unknown;
  /** false: the last row of its labels is a class like the others, and it cannot be guided. Default true. */
  readonly nullLabel?: boolean;
}

interface NetworkOf<Family extends string, Config> {
  readonly family: Family;
  /** The configuration with all defaults filled in; with family it is JSON-able and rebuilds the network. */
  readonly config: Config;
  /** Shape of one sample, without the batch: [C, H, W] or [dim]. */
  readonly sampleShape: readonly number[];
  /** What it is told besides the time. */
  readonly conditions: Columns;
  /**
   * x [B, ...sampleShape], tau [B] float32 on the scale 0 to 1000, a tensor for each of `conditions`. Result shaped as x.
   * Throws a RangeError for a condition that is missing, or that the network does not have.
   */
  apply(p: Params, x: Tensor, tau: Tensor, cond: Cond): Tensor;
  /** Where only a change of its weights is trained: see lowRankNetwork.ts. */
  readonly lowRank?: FrozenBase;
}

export type Network =
  | NetworkOf<"mlp", MlpConfig>
  | NetworkOf<"dit", DitConfig>
  | NetworkOf<"unet2d", UNet2DConfig>
  | NetworkOf<"unet2d-condition", UNet2DConditionConfig>
  | NetworkOf<"exact", ExactConfig>
  | (OnnxNetwork & { readonly lowRank?: undefined });

/**
 * `file`: the model.onnx of a network of family onnx, whose weights lie elsewhere.
 * Throws RangeError for an unknown family or an unsupported configuration, Error for a file that cannot be imported.
 */
export function buildNetwork(spec: NetworkSpec, file?: Uint8Array): Network {
  const network = build(spec, file);
  const { labels } = network.conditions;
  if (spec.nullLabel !== false || !labels?.rows) return strict(network);
  const conditions = { ...network.conditions, labels: labelColumn(labels.rows, { nullLabel: false }) };
  return strict({ ...network, conditions });
}

function build(spec: NetworkSpec, file?: Uint8Array): Network {
  const { family } = spec;
  if (family === "mlp") {
    const config = readMlpConfig(spec.config);
    const conditions = conditionsOf(rows(config.classes), config);
    return { family, config, sampleShape: [config.dim], conditions, apply: (...given) => mlp(config, ...given) };
  }
  if (family === "dit") {
    const config = readDitConfig(spec.config);
    const conditions = conditionsOf(rows(config.classes), config);
    const sampleShape = [config.channels, ...ditSize(config)];
    return { family, config, sampleShape, conditions, apply: (...given) => dit(config, ...given) };
  }
  if (family === "unet2d") {
    const config = readUNet2DConfig(spec.config);
    const { num_class_embeds, guidance_embedding_dim, span_embedding } = config;
    const conditions = conditionsOf(num_class_embeds, { guidance: guidance_embedding_dim, span: span_embedding });
    const sampleShape = unet2dSampleShape(config);
    return { family, config, sampleShape, conditions, apply: (...given) => unet2d(config, ...given) };
  }
  if (family === "unet2d-condition") {
    const config = readUNet2DConditionConfig(spec.config);
    const sampleShape = conditionalSampleShape(config);
    const conditions = conditionalColumns(config);
    return { family, config, sampleShape, conditions, apply: (...given) => applyConditional(config, ...given) };
  }
  if (family === "exact") {
    const config = readExactConfig(spec.config);
    const conditions = conditionsOf(rows(config.classes), { guidance: null, span: false });
    return { family, config, sampleShape: config.shape, conditions, apply: (...given) => exact(config, ...given) };
  }
  if (family === "onnx") {
    if (!file) throw new RangeError("A network of family onnx needs its model.onnx, which was not given.");
    return onnxNetwork(spec.config, file);
  }
  throw new RangeError(
    `There is no network family ${show(family, 60)}; known are mlp, dit, unet2d, unet2d-condition, exact and onnx.`,
  );
}

/**
 * The same network, told more than before: it has further parameters, that leave it as it was at their start.
 * Throws a RangeError for a network whose inside is not ours.
 */
export function toldMore(network: Network, told: Partial<MethodConditions>): Network {
  const { family, config } = network;
  if (family === "onnx")
    throw new RangeError(
      "An ONNX file takes the inputs it has: this method tells the network more. Use another method.",
    );
  if (family === "exact") throw new RangeError("The exact denoiser cannot be told more than its data.");
  const own =
    family === "unet2d"
      ? { guidance: "guidance_embedding_dim", span: "span_embedding" }
      : family === "unet2d-condition"
        ? { guidance: "time_cond_proj_dim", span: "span_embedding" }
        : undefined;
  const added = Object.entries(told).map(([key, value]) => [own?.[key as keyof MethodConditions] ?? key, value]);
  const nullLabel = network.conditions.labels === undefined || network.conditions.labels.none !== undefined;
  const built = buildNetwork({ family, config: { ...config, ...Object.fromEntries(added) }, nullLabel });
  // What "nothing is given" means is not all in the configuration: the empty text is a text.
  const same = { ...built, conditions: { ...built.conditions, ...network.conditions } };
  return network.lowRank ? lowRankNetwork(same, network.lowRank) : same;
}

/** The same network, whose columns have these values where nothing is given. */
export const withNone = <N extends Network>(network: N, none: Readonly<Record<string, Float32Array>>): N => ({
  ...network,
  conditions: Object.fromEntries(
    Object.entries(network.conditions).map(([name, column]) => [
      name,
      none[name] ? { ...column, none: none[name] } : column,
    ]),
  ),
});

/** Inputs of one sample and its conditions, for shapes. */
export function oneSample({ sampleShape, conditions }: Pick<Network, "sampleShape" | "conditions">): [Tensor, Cond] {
  const cond = Object.entries(conditions).map(([name, { shape, dtype }]) => [name, input(name, [1, ...shape], dtype)]);
  return [input("x", [1, ...sampleShape]), Object.fromEntries(cond)];
}

/** The parameters of a network, in order of first use. */
export function collect(network: Network): ParamSpec[] {
  const [x, cond] = oneSample(network);
  return collectParams((p) => network.apply(p, x, input("tau", [1]), cond));
}

const rows = (classes: number | null) => (classes === null ? null : classes + 1);

const conditionsOf = (labels: number | null, { guidance, span }: MethodConditions): Columns => ({
  ...(labels === null ? {} : { labels: labelColumn(labels) }),
  ...(guidance === null ? {} : { guidance: numberColumn() }),
  ...(span ? { span: numberColumn(0) } : {}),
});

/** Refuses conditions that a network does not have, and the absence of those that it has. */
const strict = <N extends Network>(network: N): N => ({
  ...network,
  apply(p: Params, x: Tensor, tau: Tensor, cond: Cond) {
    checkCond(network.conditions, cond);
    return network.apply(p, x, tau, cond);
  },
});
