// Distances between two tensors, per element. An objective takes their weighted mean.

import { huberError, pseudoHuberError, squaredError, type Tensor } from "../graph/index.ts";

export type Distance = (pred: Tensor, target: Tensor) => Tensor;

export type DistanceSpec =
  | { readonly kind: "mse" }
  | { readonly kind: "pseudo-huber"; readonly c: number }
  | { readonly kind: "huber"; readonly delta: number };

/** The distance that a spec describes, of two tensors of one shape, elementwise. */
export function distance(spec: DistanceSpec): Distance {
  switch (spec.kind) {
    case "mse":
      return squaredError;
    case "pseudo-huber":
      return (a, b) => pseudoHuberError(a, b, spec.c);
    case "huber":
      return (a, b) => huberError(a, b, spec.delta);
  }
}
