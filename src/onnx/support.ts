// What a model asks for that the table does not have: all of it, in one sentence.

import type { Rule } from "./call.ts";
import type { OnnxFile, OnnxNode } from "./file.ts";
import { rules } from "./rules/index.ts";

/** Throws an Error that lists every operator and attribute that is not supported: how many nodes, and the first one. */
export function checkSupport(nodes: readonly OnnxNode[], { functions }: Pick<OnnxFile, "functions">): void {
  const found = new Map<string, { count: number; first: string }>();
  const report = (what: string, { name }: OnnxNode) => {
    const known = found.get(what);
    found.set(what, { count: (known?.count ?? 0) + 1, first: known?.first ?? name });
  };
  const visited = new Set<string>();
  const visit = (node: OnnxNode): void => {
    const inside = functions.get(node.op);
    if (inside) {
      if (visited.has(node.op)) return;
      visited.add(node.op);
      inside.nodes.forEach(visit);
      return;
    }
    const rule = Object.hasOwn(rules, node.op) ? rules[node.op] : undefined;
    if (!rule) report(`the operator ${node.op}`, node);
    else for (const reason of refused(node, rule)) report(reason, node);
  };
  nodes.forEach(visit);
  if (found.size === 0) return;
  const list = [...found].map(([what, { count, first }]) =>
    count === 1 ? `${what} (1 node, "${first}")` : `${what} (${count} nodes, the first is "${first}")`,
  );
  const [first, rest] = [list.slice(0, 12), list.length - 12];
  throw new Error(
    `The model uses what cannot be imported: ${first.join("; ")}${rest > 0 ? `; and ${rest} more` : ""}.`,
  );
}

const refused = ({ op, attrs }: OnnxNode, rule: Rule): string[] =>
  [...attrs].flatMap(([name, value]) => {
    const allowed = Object.hasOwn(rule.attrs, name) ? rule.attrs[name] : undefined;
    if (allowed === "any") return [];
    // A reference is known only inside the call.
    if (typeof value !== "number" && typeof value !== "string") return allowed ? [] : [`${op} with ${name}`];
    return allowed?.includes(value) ? [] : [`${op} with ${name} = ${value}`];
  });
