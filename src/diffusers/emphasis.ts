// Emphasis in prompts as AUTOMATIC1111's web UI writes it: (word) is 1.1, [word] 1/1.1, (word:1.3) 1.3, \( a bracket.

export interface Emphasized {
  readonly text: string;
  readonly weight: number;
}

const ROUND = 1.1;
const SQUARE = 1 / 1.1;
/** Beyond this a text encoder's states mean nothing any more. */
const LIMIT = 100;

type Kind = "round" | "square";
type Piece = string | { readonly opens: Kind; readonly factor: number } | { readonly closes: Kind };

/**
 * The parts of a prompt with their weights. What is opened and not closed counts to the end; what is closed and not opened is
 * text. Throws RangeError for a weight beyond ±100. Time and memory grow with the length of the prompt alone.
 */
export function emphasized(prompt: string): Emphasized[] {
  const pieces: Piece[] = [];
  const open: Record<Kind, number[]> = { round: [], square: [] };
  const opened = (opens: Kind, factor: number) => {
    open[opens].push(pieces.length);
    pieces.push({ opens, factor });
  };
  // The factor of a bracket is known when it is closed.
  const closed = (kind: Kind, factor: number) => {
    pieces[open[kind].pop()!] = { opens: kind, factor };
    pieces.push({ closes: kind });
  };
  const tokens = /\\[()[\]\\]|\\|\(|\[|:\s*([+-]?[.\d]+)\s*\)|\)|\]|[^\\()[\]:]+|:/g;
  for (const match of prompt.matchAll(tokens)) {
    const [text, weight] = match;
    if (text.length === 2 && text.startsWith("\\")) pieces.push(text[1]);
    else if (text === "(") opened("round", ROUND);
    else if (text === "[") opened("square", SQUARE);
    else if (weight !== undefined && open.round.length > 0) closed("round", weightOf(weight));
    else if (text === ")" && open.round.length > 0) closed("round", ROUND);
    else if (text === "]" && open.square.length > 0) closed("square", SQUARE);
    else pieces.push(text);
  }
  return withWeights(pieces);
}

/** Brackets of one kind are nested, those of both may overlap: a stack of products for each. */
function withWeights(pieces: readonly Piece[]): Emphasized[] {
  const stacks: Record<Kind, number[]> = { round: [1], square: [1] };
  const out: { text: string[]; weight: number }[] = [];
  for (const piece of pieces) {
    if (typeof piece === "string") {
      const weight = stacks.round.at(-1)! * stacks.square.at(-1)!;
      if (!(Math.abs(weight) <= LIMIT))
        throw new RangeError(`A part of the prompt has the weight ${weight}, expected at most ${LIMIT}.`);
      const last = out.at(-1);
      if (last?.weight === weight) last.text.push(piece);
      else out.push({ text: [piece], weight });
    } else if ("opens" in piece) {
      const stack = stacks[piece.opens];
      stack.push(stack.at(-1)! * piece.factor);
    } else stacks[piece.closes].pop();
  }
  return out.length === 0
    ? [{ text: "", weight: 1 }]
    : out.map(({ text, weight }) => ({ text: text.join(""), weight }));
}

function weightOf(text: string): number {
  const weight = Number(text);
  if (!Number.isFinite(weight))
    throw new RangeError(`A part of the prompt has the weight "${text}", expected a number.`);
  return weight;
}
