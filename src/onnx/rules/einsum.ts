// Einsum, as transpositions around one matrix product for each pair of operands.

import * as g from "../../graph/index.ts";
import { sizeOf, type Tensor } from "../../graph/tensor.ts";

interface Labeled {
  readonly labels: string;
  readonly x: Tensor;
}

/** Throws a RangeError for an equation that does not fit, and for a label that an operand has twice (a diagonal). */
export function einsum(equation: string, xs: readonly Tensor[]): Tensor {
  const [left, right] = equation.replaceAll(" ", "").split("->");
  const terms = left.split(",");
  if (terms.length !== xs.length)
    throw new RangeError(`its equation "${equation}" is of ${terms.length} operands, but it has ${xs.length}.`);
  const named = terms.map((labels, i) => ({ labels: spelled(labels, xs[i].shape.length), x: xs[i] }));
  const unfit = named.findIndex(({ labels, x }) => !/^[A-Za-z\d]*$/.test(labels) || labels.length !== x.shape.length);
  if (unfit >= 0)
    throw new RangeError(`its equation "${equation}" does not fit operand ${unfit} of the shape [${xs[unfit].shape}].`);
  const out = right === undefined ? implicit(named) : outputLabels(right, named);
  for (const { labels } of named)
    if (new Set(labels).size !== labels.length)
      throw new RangeError(`its equation "${equation}" takes a diagonal, which is not supported.`);
  let done = named[0];
  for (let i = 1; i < named.length; i++) {
    const later =
      out +
      named
        .slice(i + 1)
        .map((n) => n.labels)
        .join("");
    done = pair(done, named[i], later);
  }
  return order(sumAway(done, out), out);
}

// An ellipsis becomes digits, counted from the right, so that operands of other ranks line up.
const spelled = (labels: string, rank: number): string => {
  const hidden = rank - labels.replace("...", "").length;
  return labels.replace("...", () => "9876543210".slice(10 - hidden));
};
const outputLabels = (right: string, named: readonly Labeled[]): string => {
  const digits = named.map(({ labels }) => labels.replace(/\D/g, "")).sort((a, b) => b.length - a.length)[0];
  return right.replace("...", digits);
};
/** Without an arrow: what appears once, in alphabetical order. */
function implicit(named: readonly Labeled[]): string {
  const all = named.map((n) => n.labels).join("");
  const digits = outputLabels("...", named);
  return (
    digits +
    [...new Set(all)]
      .filter((l) => /\D/.test(l) && all.split(l).length === 2)
      .sort()
      .join("")
  );
}

function sumAway({ labels, x }: Labeled, keep: string): Labeled {
  const axes = [...labels].flatMap((l, i) => (keep.includes(l) ? [] : [i]));
  if (axes.length === 0) return { labels, x };
  return { labels: [...labels].filter((l) => keep.includes(l)).join(""), x: g.sum(x, axes) };
}

const order = ({ labels, x }: Labeled, wanted: string): Tensor =>
  g.transpose(
    x,
    [...wanted].map((l) => labels.indexOf(l)),
  );

/** The product of two operands, summed over what neither the output nor a later operand has. */
function pair(first: Labeled, second: Labeled, later: string): Labeled {
  const a = sumAway(first, second.labels + later);
  const b = sumAway(second, first.labels + later);
  const shared = [...a.labels].filter((l) => b.labels.includes(l));
  const batch = shared.filter((l) => later.includes(l));
  const inner = shared.filter((l) => !later.includes(l));
  const rows = [...a.labels].filter((l) => !shared.includes(l));
  const columns = [...b.labels].filter((l) => !shared.includes(l));
  const dims = (ls: readonly string[], of: Labeled) => ls.map((l) => of.x.shape[of.labels.indexOf(l)]);
  // A batch axis of size 1 in one operand broadcasts.
  const sizes = batch.map((_, i) => Math.max(dims(batch, a)[i], dims(batch, b)[i]));
  const laid = (of: Labeled, ls: readonly string[]) => {
    const turned = order(of, [...batch, ...ls].join(""));
    return g.broadcastTo(turned, [...sizes, ...dims(ls, of)]);
  };
  const n = sizeOf(sizes);
  const [m, k, p] = [sizeOf(dims(rows, a)), sizeOf(dims(inner, a)), sizeOf(dims(columns, b))];
  const y = g.matmul(
    g.reshape(laid(a, [...rows, ...inner]), [n, m, k]),
    g.reshape(laid(b, [...inner, ...columns]), [n, k, p]),
  );
  return {
    labels: [...batch, ...rows, ...columns].join(""),
    x: g.reshape(y, [...sizes, ...dims(rows, a), ...dims(columns, b)]),
  };
}
