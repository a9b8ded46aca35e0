// What every method draws for its losses, by hand: its noise, its conditions, and the names of what it computes.

import { describe, expect, it } from "vitest";
import { askedBy, type Options, stagesOf } from "./asked.ts";

const namesOf = (set: Iterable<string>) => [...set].sort();

describe("noise, conditions and names", () => {
  const regression = ["state", "target", "value"];
  const window = [...regression, "window_end", "window_start"];
  const consistent = ["solved", "state", "target", "value"];
  const made = ["generated", "generator_input"];
  const matched = ["critic_error", "data_fake", "data_real", "direction", "losses_matching", "target", "teacher_error"];
  const dmd = [...made, ...matched, "state", "value"];
  const followed = [...made, "losses_diffusion", "state", "target", "value"];
  const logits = (...noises: string[]) => noises.flatMap((noise) => [`logits_${noise}`, `state_${noise}`]);
  type Row = readonly [noise: readonly string[], conds: readonly string[], notes: readonly string[]];
  const cases: readonly (readonly [name: string, o: Options, student: Row, critic?: Row])[] = [
    ["diffusion", {}, [["noise"], ["dropped"], regression]],
    // Sync guidance: the teacher is conditioned as the student is; fixed: it knows the label.
    ["perflow", { predict: "ddim_eps" }, [["noise"], ["dropped"], window]],
    ["perflow", { predict: "ddim_eps", guidance: 2 }, [["noise"], ["dropped", "full"], window]],
    ["perflow", { predict: "ddim_eps", weight: "endpoint" }, [["noise"], ["dropped"], [...window, "weight"]]],
    ["rectified-diffusion", {}, [[], ["dropped"], regression]],
    ["rectified-diffusion-phased", { guidance: 2 }, [["noise"], ["dropped", "full"], window]],
    ["rectified-diffusion-cd", { rectify: 0 }, [["noise"], ["dropped", "full"], consistent]],
    ["reflow", {}, [[], ["dropped"], regression]],
    ["consistency", {}, [["noise"], ["dropped", "full"], consistent]],
    ["consistency", { distill: false }, [["noise"], ["dropped", "full"], consistent]],
    ["lcm", {}, [["noise"], ["full"], consistent]],
    ["progressive", {}, [["noise"], ["dropped"], [...regression, "end", "middle", "weight"]]],
    [
      "dmd",
      {},
      [
        ["noise", "noise_2"],
        ["full", "pair_full"],
        [...dmd, "losses_regression", "regressed"],
      ],
      [["critic_noise", "noise"], ["full"], followed],
    ],
    // A term without weight is not computed.
    ["dmd", { regression: 0 }, [["noise", "noise_2"], ["full"], dmd], [["critic_noise", "noise"], ["full"], followed]],
    [
      "dmd",
      { regression: 0, gan: 0.1, steps: 2 },
      [["noise", "noise_2", "noise_gan", "renoise.0"], ["full"], [...dmd, ...logits("noise_gan"), "losses_gan"]],
      [
        ["critic_noise", "critic_noise_fake", "critic_noise_real", "noise", "renoise.0"],
        ["full"],
        [...followed, ...logits("critic_noise_fake", "critic_noise_real"), "discriminator", "losses_gan"],
      ],
    ],
    [
      "swiftbrush",
      {},
      [["noise", "noise_2"], ["full"], [...dmd, "eps_critic", "eps_teacher"]],
      [
        ["critic_noise", "noise"],
        ["dropped-together", "full"],
        [...made, ...regression],
      ],
    ],
    [
      "adversarial",
      {},
      [["noise_2"], ["full"], [...made, ...logits("noise_2"), "losses_gan", "losses_regression", "target", "value"]],
      [
        ["critic_noise_fake", "critic_noise_real"],
        ["full", "real_full"],
        [...made, ...logits("critic_noise_fake", "critic_noise_real"), "discriminator"],
      ],
    ],
    ["adversarial", { gan: 0 }, [[], ["full"], [...made, "losses_regression", "target", "value"]]],
    [
      "adversarial",
      { regression: 0 },
      [["noise_2"], ["full"], [...made, ...logits("noise_2"), "losses_gan", "value"]],
      [
        ["critic_noise_fake", "critic_noise_real"],
        ["full", "real_full"],
        [...made, ...logits("critic_noise_fake", "critic_noise_real"), "discriminator"],
      ],
    ],
    ["meanflow", {}, [["noise"], ["dropped"], [...regression, "derivative", "squared_error", "velocity", "weight"]]],
    // A teacher that is asked is conditioned as the student is, unless it is guided.
    [
      "meanflow",
      { distill: true },
      [["noise"], ["dropped"], [...regression, "derivative", "squared_error", "velocity", "weight"]],
    ],
    [
      "meanflow",
      { distill: true, guidance: 2 },
      [["noise"], ["dropped", "full"], [...regression, "derivative", "squared_error", "velocity", "weight"]],
    ],
    ["scm", {}, [["noise"], ["dropped"], [...regression, "derivative", "normalized_tangent", "tangent", "velocity"]]],
    // A guided teacher knows the label.
    [
      "scm",
      { guidance: 2 },
      [["noise"], ["dropped", "full"], [...regression, "derivative", "normalized_tangent", "tangent", "velocity"]],
    ],
  ];
  const rows = cases.map(([name, o, ...players]) => [name, o, players] as const);
  it.each(rows)("of %s %j", (name, o, players) => {
    const asked = askedBy(stagesOf(name, o)[0]);
    const found = Object.fromEntries(
      Object.entries(asked).map(([who, { noise, conds, notes }]) => [who, [noise, conds, notes].map(namesOf)]),
    );
    const wanted = players.map((row, i) => [["student", "critic"][i], row?.map(namesOf)]);
    expect(found).toEqual(Object.fromEntries(wanted.filter(([, row]) => row)));
  });

  it("of the stages that come first or after", () => {
    const [smooth] = stagesOf("scm", { timeScale: 5 }).map(askedBy);
    expect([smooth.student.noise, smooth.student.conds].map(namesOf)).toEqual([["noise"], ["dropped"]]);
    expect(namesOf(smooth.student.notes)).toEqual(["target", "value"]);
    const [, one] = stagesOf("instaflow").map(askedBy);
    expect([one.student.noise, one.student.conds].map(namesOf)).toEqual([[], ["full"]]);
  });
});
