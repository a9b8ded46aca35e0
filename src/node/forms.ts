// The forms that a user names, and what a network predicts on each unless told.
import { cosine, type Form, linear, subVp, ve, vp } from "../core/index.ts";

export const formNames = ["vp", "subvp", "ve", "linear", "cosine"] as const;
export type FormName = (typeof formNames)[number];

export const predictionChoices = ["eps", "x0", "v", "u", "edm"] as const;

export const forms: Readonly<Record<FormName, () => Form>> = { vp, subvp: subVp, ve, linear, cosine };

/** eps says nothing at t = 1 of linear and cosine, and almost nothing on VE, where an error of it moves x0 fiftyfold. */
export const natural = { vp: "eps", subvp: "eps", ve: "edm", linear: "u", cosine: "v" } as const;

/** What a network is told on a form: times to 1000, and states of about unit size. */
export const timeInputOn = (form: string) => ({
  scale: 1000,
  offset: 0,
  ...(form === "ve" ? { normalize: true } : {}),
});
