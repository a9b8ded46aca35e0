// The best denoiser of a data set, in closed form: the posterior mean over its points, which is a softmax over scaled
// distances. A teacher without training and without error (Karras et al. 2022, appendix B.3; with a width, the data are a
// mixture of Gaussians around the points).
import * as z from "zod";
import type { Cond } from "../condition.ts";
import {
  add,
  cos,
  div,
  embedding,
  matmul,
  mul,
  reshape,
  sin,
  sizeOf,
  softmax,
  square,
  sub,
  sum,
  type Tensor,
} from "../graph/index.ts";
import { readConfig, width as whole } from "./config.ts";
import type { ParamArray, Params } from "./params.ts";

const schema = z.object({
  /** Of one sample: [C, H, W], or [dim]. */
  shape: z.array(whole).min(1).max(3),
  /** Points of the data. */
  points: z
    .int()
    .positive()
    .max(2 ** 24),
  classes: whole.nullable().default(null),
  /** Standard deviation around every point, in the units of the data. */
  width: z.number().nonnegative().max(1e3).default(0),
});
export type ExactConfig = Readonly<z.output<typeof schema>>;

export const readExactConfig = (config: unknown): ExactConfig => readConfig("exact", schema, config);

/** Weight of a point of another class, as a logit: nothing beside any distance. */
const NEVER = -1e30;
/** Added to variances: at noise 0 and width 0 the posterior is the nearest point. */
const LEAST = 1e-12;

/**
 * x [B, ...shape], the state cos φ·x0 + sin φ·eps, tau [B] = 1000·φ/(π/2), labels [B] int64 exactly when there are
 * classes: the last means "no class". Result: v = cos φ·E[eps | x] − sin φ·E[x0 | x], shaped as x. Parameters: what
 * `exactParams` makes.
 */
export function exact(c: ExactConfig, p: Params, x: Tensor, tau: Tensor, cond: Cond): Tensor {
  const [batch, dim] = [x.shape[0], sizeOf(c.shape)];
  const center = p("center", [dim], "zeros");
  const points = p("points", [c.points, dim]);
  const angle = mul(reshape(tau, [batch, 1]), Math.PI / 2000);
  const [alpha, sigma] = [cos(angle), sin(angle)];
  // From the middle of the data: products of large numbers would lose what distances are made of.
  const y = sub(reshape(x, [batch, dim]), mul(alpha, center));
  const variance = add(add(square(sigma), square(mul(alpha, c.width))), LEAST);
  // −‖y − alpha·d‖²/(2·variance), without what is the same for all points.
  const near = mul(alpha, matmul(y, points, { transB: true }));
  const norms = mul(reshape(sum(square(points), [1]), [1, c.points]), mul(square(alpha), -0.5));
  const scaled = div(add(near, norms), variance);
  const logits =
    c.classes === null ? scaled : add(scaled, embedding(p("classes", [c.classes + 1, c.points]), cond.labels));
  const mean = matmul(softmax(logits, 1), points);
  const apart = sub(y, mul(alpha, mean));
  const noise = mul(apart, div(sigma, variance));
  const data = add(add(mean, center), mul(apart, div(mul(alpha, c.width ** 2), variance)));
  return reshape(sub(mul(alpha, noise), mul(sigma, data)), x.shape);
}

/**
 * The parameters for these points x [n, ...shape]: they are the data themselves, around their mean. `labels` [n] where there
 * are classes. Throws a RangeError for a class without points.
 */
export function exactParams(
  c: ExactConfig,
  x: Float32Array,
  labels?: ArrayLike<number | bigint>,
): Map<string, ParamArray> {
  const dim = sizeOf(c.shape);
  if (x.length !== c.points * dim)
    throw new RangeError(`There are ${x.length} values, expected ${c.points} points of ${dim}.`);
  const center = new Float64Array(dim);
  for (let i = 0; i < x.length; i++) center[i % dim] += x[i] / c.points;
  const mean = Float32Array.from(center);
  const params = new Map<string, ParamArray>([
    ["center", { shape: [dim], data: mean }],
    ["points", { shape: [c.points, dim], data: x.map((value, i) => value - mean[i % dim]) }],
  ]);
  if (c.classes === null) return params;
  const bias = new Float32Array((c.classes + 1) * c.points).fill(NEVER).fill(0, c.classes * c.points);
  const seen = new Set<number>();
  for (let i = 0; i < c.points; i++) {
    const label = Number(labels?.[i]);
    if (!(label >= 0 && label < c.classes))
      throw new RangeError(`Point ${i} has the label ${label}, expected 0 to ${c.classes - 1}.`);
    bias[label * c.points + i] = 0;
    seen.add(label);
  }
  if (seen.size < c.classes) {
    const empty = Array.from({ length: c.classes }, (_, k) => k).find((k) => !seen.has(k));
    throw new RangeError(`Class ${empty} has none of the ${c.points} points, so nothing can be sampled of it.`);
  }
  return params.set("classes", { shape: [c.classes + 1, c.points], data: bias });
}
