// Leaves out of the mutation testing what a method says of itself: summaries, citations, texts of options.
import { declareValuePlugin, PluginKind } from "@stryker-mutator/api/plugin";

const TEXTS = ["summary", "paper"];

/** Whether this node, or something it lies in up to the next function, is such a text. */
function isText(path) {
  const { parent, node } = path;
  if (node.type === "ObjectProperty" && TEXTS.includes(node.key.name)) return true;
  return (
    parent?.type === "CallExpression" && parent.callee.property?.name === "describe" && parent.arguments.includes(node)
  );
}

export const strykerPlugins = [
  declareValuePlugin(PluginKind.Ignore, "texts", {
    shouldIgnore: (path) => (isText(path) ? "A text for the reader, not what training computes." : undefined),
  }),
];
