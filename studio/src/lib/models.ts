// What the page knows of a model from its card.
import type { Card } from "fewstep/browser";
import { type Form, formFromSpec, type WindowsSpec, windowsFromSpec } from "fewstep/core";

export const shippedSets = ["checkerboard", "moons", "8gaussians"] as const;
export const setNames: Readonly<Record<string, string>> = {
  checkerboard: "Checkerboard",
  moons: "Two moons",
  "8gaussians": "Eight Gaussians",
  own: "Your own points",
};

/** Of training a teacher. */
export const TEACHER = "diffusion";

/** What can be trained in the page, in the order of the menu. */
const titles: Readonly<Record<string, string>> = {
  diffusion: "Teacher",
  perflow: "PeRFlow",
  "rectified-diffusion": "Rectified Diffusion",
  "rectified-diffusion-phased": "Rectified Diffusion, phased",
  "rectified-diffusion-cd": "Rectified Diffusion, consistency",
  reflow: "Reflow",
  instaflow: "InstaFlow",
  consistency: "Consistency",
  lcm: "LCM",
  progressive: "Progressive distillation",
  dmd: "DMD",
  swiftbrush: "SwiftBrush",
  adversarial: "Adversarial",
  meanflow: "MeanFlow",
  scm: "sCM",
};
/** A test compares these with the recipes: the page itself is small because it does not load them. */
export const methodNames: readonly string[] = Object.keys(titles);

export const titleOf = (method: string): string =>
  titles[method] ?? (method === "flow-matching" ? titles[TEACHER] : method);

export const formOf = (card: Card): Form => formFromSpec(card.form);

/** Window edges of the path that a model follows, from 1 to 0; none on a form without windows. */
export const edgesOf = (card: Card): readonly number[] => formOf(card).windows?.edges ?? [];

/** Of its form or its sampler: a sampler takes at least one step in each. */
export function fewestSteps(card: Card): number {
  const { grid } = card.sampler;
  const count = (spec: WindowsSpec) => windowsFromSpec(spec).count;
  return Math.max(formOf(card).windows?.count ?? 1, grid.kind === "windows" ? count(grid.windows) : 1);
}

/** A card in a few sentences that need no knowledge of its fields. */
export function inWords(card: Card): string[] {
  const { recipe, form, prediction, sampler, guidance, imagesSeen, teacherNfe, base, network, conditioning } = card;
  const many = (n: number) => n.toLocaleString("en-US");
  const path =
    form.kind === "chord"
      ? `It follows straight pieces between ${formFromSpec(form).windows?.edges.length ?? 0} times of a ${form.base.kind} path`
      : `Its noise follows the form "${form.kind}"`;
  const predicts: Readonly<Record<string, string>> = {
    eps: "the noise (eps)",
    x0: "the clean sample (x0)",
    v: "v, a rotation of noise and sample",
    u: "the velocity along its path (u)",
  };
  return [
    base === null
      ? `A ${titleOf(recipe.method).toLowerCase()} trained from scratch with ${recipe.method}.`
      : `A student made by ${titleOf(recipe.method)}; its teacher's weights have the SHA-256 ${base.slice(0, 12)}….`,
    `${path}, and its network (${network.family}) predicts ${predicts[prediction.name] ?? prediction.name}.`,
    `It is made for ${sampler.steps.join(" or ")} step${sampler.steps.at(-1) === 1 ? "" : "s"} of ${sampler.solver}.`,
    conditioning.labels > 0 ? `It knows ${conditioning.labels} classes.` : "",
    guidance.baked === 1 ? "" : `Guidance ${guidance.baked} is in its weights already: it is sampled without.`,
    `It saw ${many(imagesSeen)} samples in training${teacherNfe > 0 ? `, for which its teacher was evaluated ${many(teacherNfe)} times` : ""}.`,
  ].filter((sentence) => sentence !== "");
}
