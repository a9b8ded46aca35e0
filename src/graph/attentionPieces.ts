// Attention for some heads and queries at a time, where the scores of all are large. The backward pass computes the
// scores of a piece again (FlashAttention, Dao et al. 2022, with all keys at once).

import type { AttentionOptions } from "./attention.ts";
import { apart, recomputed, withGradient } from "./checkpoint.ts";
import { matmul } from "./matmul.ts";
import { add, mul, sub, where } from "./pointwise.ts";
import { sum, sumTo } from "./reduce.ts";
import { concat, split } from "./shape.ts";
import { softmax } from "./softmax.ts";
import { broadcastShapes, constant, type Shape, sizeOf, type Tensor } from "./tensor.ts";

/** Bytes of scores that are held at once, and of those of a piece, which are more where there would be too many pieces. */
export interface Limits {
  readonly whole: number;
  readonly piece: number;
  readonly pieces: number;
}
const LIMITS: Limits = { whole: 2 ** 24, piece: 2 ** 22, pieces: 64 };

interface Operands {
  /** Scaled. */
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
  readonly mask?: Tensor;
  /** Of the queries, among all. */
  readonly first: number;
}
const ROLES = ["q", "k", "v", "mask"] as const;
type Role = (typeof ROLES)[number];

export function attentionInPieces(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  { scale, mask, causal = false }: AttentionOptions,
  limit = LIMITS,
): Tensor {
  const [width, queries, keys] = [at(q, -1), at(q, -2), at(k, -2)];
  const f = formulas(causal ? causalMasks(keys) : null);
  const lead = [q, k, v, ...(mask ? [mask] : [])].reduce<Shape>(
    (a, x) => broadcastShapes(a, x.shape.slice(0, -2), "attention"),
    [],
  );
  const all = [...lead, queries];
  // Scaling q is cheaper than scaling the scores.
  const operands = { q: mul(q, scale ?? 1 / Math.sqrt(width)), k, v, mask, first: 0 };
  if (4 * keys * sizeOf(all) <= limit.whole) return f.attend(operands);
  const sizes = pieceSizes(all, keys, limit);
  /** The pieces along this axis and those behind it, joined. */
  const from = (axis: number, o: Operands): Tensor => {
    if (axis === lead.length) return byQueries(f, o, parts(queries, sizes[axis]));
    const back = axis - lead.length - 2;
    const results = cut(o, ROLES, back, parts(all[axis], sizes[axis])).map((piece) => from(axis + 1, piece));
    return concat(results, back);
  };
  return from(0, operands);
}

type Formulas = ReturnType<typeof formulas>;

/** `causal` makes the masks of some rows. */
function formulas(causal: ((first: number, rows: number) => Tensor) | null) {
  const masksOf = ({ q, mask, first }: Operands): Tensor[] => [
    ...(mask?.dtype === "bool" ? [mask] : []),
    ...(causal ? [causal(first, at(q, -2))] : []),
  ];
  const probabilities = (o: Operands): Tensor => {
    let scores = matmul(o.q, o.k, { transB: true });
    if (o.mask && o.mask.dtype !== "bool") scores = add(scores, o.mask);
    for (const keep of masksOf(o)) scores = where(keep, scores, HIDDEN);
    return softmax(scores, -1);
  };
  return {
    attend: (o: Operands): Tensor => matmul(probabilities(o), o.v),
    /** The cotangents of the operands that are asked for, from that of y = attend(o), and from Σ y ct over the values. */
    gradient(o: Operands, ct: Tensor, total: Tensor, roles: readonly Role[]): Tensor[] {
      const p = probabilities(o);
      // Of the softmax p (dp − Σ p dp), where the sum over the keys is the total.
      let ds = mul(p, sub(matmul(ct, o.v, { transB: true }), total));
      // Where all of a row is hidden, p is not zero.
      for (const keep of masksOf(o)) ds = where(keep, ds, 0);
      const of = {
        q: () => matmul(ds, o.k),
        k: () => matmul(ds, o.q, { transA: true }),
        v: () => matmul(p, ct, { transA: true }),
        mask: () => ds,
      };
      return roles.map((role) => sumTo(of[role](), given(o, role).shape));
    },
  };
}
const HIDDEN = -1e30;

/** One piece after the other, in the backward pass too: each adds to what those before it found for keys and values. */
function byQueries(f: Formulas, o: Operands, counts: readonly number[]): Tensor {
  const attend = () =>
    concat(
      cut(o, ["q", "mask"], -2, counts).map((piece) => recomputed(() => f.attend(piece))),
      -2,
    );
  return withGradient(attend, (ct, y, wanted) => {
    const pieces = cut(o, ["q", "mask"], -2, counts);
    const roles = ROLES.filter((role) => wanted.some((x) => x === o[role]));
    const isCut = (role: Role) => pieces[0][role] !== o[role];
    const [cts, totals] = [ct, sum(mul(ct, y), [-1], true)].map((x) => cutAxis(x, -2, counts));
    const found: (readonly Tensor[])[] = [];
    for (const [i, piece] of pieces.entries()) {
      const before = found.at(-1);
      const withBefore = (d: Tensor, r: number) => (before && !isCut(roles[r]) ? add(before[r], d) : d);
      found.push(apart(() => f.gradient(piece, cts[i], totals[i], roles).map(withBefore)));
    }
    const joined = roles.map((role, r) =>
      isCut(role)
        ? concat(
            found.map((d) => d[r]),
            -2,
          )
        : found[found.length - 1][r],
    );
    // One tensor may play several roles.
    return wanted.map((x) => joined.filter((_, r) => o[roles[r]] === x).reduce(add));
  });
}

const given = (o: Operands, role: Role): Tensor => {
  const x = o[role];
  if (!x) throw new Error(`Attention without a ${role} was asked for its gradient.`);
  return x;
};
const at = (x: Tensor, back: number): number => x.shape[x.shape.length + back];

/** The operands along an axis, counted from the end; what broadcasts there is in every piece. */
function cut(o: Operands, roles: readonly Role[], back: number, counts: readonly number[]): Operands[] {
  const cuts = roles.map((role) => [role, o[role] && cutAxis(o[role], back, counts)] as const);
  let first = o.first;
  return counts.map((count, i) => {
    const piece = { ...o, first };
    for (const [role, list] of cuts) if (list) piece[role] = list[i];
    if (back === -2) first += count;
    return piece;
  });
}

function cutAxis(x: Tensor, back: number, counts: readonly number[]): readonly Tensor[] {
  const broadcasts = x.shape.length + back < 0 || at(x, back) === 1;
  return broadcasts ? counts.map(() => x) : split(x, counts, back);
}

/** Of each axis as much as fits, from the last one on: all queries of one head rather than a few of every head. */
function pieceSizes(all: Shape, keys: number, { piece, pieces }: Limits): number[] {
  const row = 4 * keys;
  let room = Math.floor(Math.max(piece, (row * sizeOf(all)) / pieces) / row);
  return all
    .toReversed()
    .map((n) => {
      const size = Math.min(n, Math.max(1, room));
      room = Math.floor(room / n);
      return size;
    })
    .reverse();
}

/** n in parts of at most `most`, which are of one size but for the last. */
function parts(n: number, most: number): number[] {
  const size = Math.ceil(n / Math.ceil(n / most));
  const list = Array<number>(Math.floor(n / size)).fill(size);
  return n % size ? [...list, n % size] : list;
}

/** Masks [rows, keys] of the rows from `first` on that keep key ≤ query; the same rows get the same tensor. */
function causalMasks(keys: number): (first: number, rows: number) => Tensor {
  const made = new Map<number, Tensor>();
  return (first, rows) => {
    const known = made.get(first);
    if (known?.shape[0] === rows) return known;
    const keep = new Uint8Array(rows * keys);
    for (let i = 0; i < rows; i++) keep.fill(1, i * keys, i * keys + Math.min(keys, first + i + 1));
    const mask = constant(keep, [rows, keys]);
    made.set(first, mask);
    return mask;
  };
}
