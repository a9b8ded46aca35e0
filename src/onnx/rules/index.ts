// The table: every operator that can be imported, by its name in ONNX.

import type { Rules } from "../call.ts";
import { activation } from "./activation.ts";
import { conv2d } from "./conv.ts";
import { movement } from "./movement.ts";
import { norm } from "./norm.ts";
import { pointwise } from "./pointwise.ts";
import { pool } from "./pool.ts";
import { products } from "./products.ts";
import { reduce } from "./reduce.ts";
import { resizing } from "./resize.ts";
import { shapes } from "./shapes.ts";

export const rules: Rules = {
  ...pointwise,
  ...activation,
  ...movement,
  ...shapes,
  ...reduce,
  ...products,
  ...conv2d,
  ...pool,
  ...norm,
  ...resizing,
};
