// Convolutions of one and two dimensions.

import type { Tensor } from "../../graph/index.ts";
import * as g from "../../graph/index.ts";
import { at, type Call, int, ints, maybe, type Rules, rule, text } from "../call.ts";
import { fused, fusedActivations } from "./activation.ts";
import { asImage, row, windowOf } from "./window.ts";

const WINDOW = "auto_pad dilations group kernel_shape pads strides";

function conv(call: Call): Tensor {
  const [w, b] = [row(at(call, 1)), maybe(call, 2)];
  return asImage(at(call, 0), (x) => {
    const { stride, dilation, pads } = windowOf(call, x.shape.slice(2), w.shape.slice(2));
    return g.conv2d(x, w, b, { stride, dilation, padding: pads, groups: int(call, "group", 1) });
  });
}

function convTranspose(call: Call): Tensor {
  const [w, b] = [row(at(call, 1)), maybe(call, 2)];
  const flat = at(call, 0).shape.length === 3;
  return asImage(at(call, 0), (x) => {
    const size = x.shape.slice(2);
    const { stride, dilation, kernel, ...window } = windowOf(
      { ...call, attrs: withoutAuto(call) },
      size,
      w.shape.slice(2),
    );
    const given = ints(call, "output_padding", []);
    let extra: [number, number] = flat ? [0, given[0] ?? 0] : [given[0] ?? 0, given[1] ?? 0];
    let pads = window.pads;
    const auto = text(call, "auto_pad", "NOTSET");
    const shape = ints(call, "output_shape", []);
    if (shape.length > 0 || auto.startsWith("SAME")) {
      // The padding follows from the size of the result.
      const asked =
        shape.length > 0 ? shape.slice(-(flat ? 1 : 2)) : size.map((d, i) => d * stride[i]).slice(flat ? 1 : 0);
      const wanted = flat ? [1, asked[0]] : asked;
      const total = [0, 1].map(
        (i) => (size[i] - 1) * stride[i] + extra[i] + dilation[i] * (kernel[i] - 1) + 1 - wanted[i],
      );
      // What an output_shape asks for beyond that is added at the end; "same" alone leaves it out.
      if (shape.length > 0) extra = [extra[0] + Math.max(0, -total[0]), extra[1] + Math.max(0, -total[1])];
      const cut = total.map((t) => Math.max(0, t));
      const half = cut.map((t) => (auto === "SAME_UPPER" ? Math.floor(t / 2) : Math.ceil(t / 2)));
      pads = [half[0], half[1], cut[0] - half[0], cut[1] - half[1]];
    }
    return g.convTranspose2d(x, w, b, {
      stride,
      dilation,
      padding: pads,
      groups: int(call, "group", 1),
      outputPadding: extra,
    });
  });
}
const withoutAuto = ({ attrs }: Call) => new Map([...attrs].filter(([name]) => name !== "auto_pad"));

export const conv2d: Rules = {
  Conv: rule(WINDOW, conv),
  ConvTranspose: rule(`${WINDOW} output_padding output_shape`, convTranspose),
  "com.microsoft.FusedConv": rule(
    `${WINDOW} activation_params`,
    (call) => {
      const y = conv(call);
      const added = maybe(call, 3);
      return fused(added ? g.add(y, added) : y, text(call, "activation", ""), ints(call, "activation_params", []));
    },
    { activation: fusedActivations },
  ),
};
