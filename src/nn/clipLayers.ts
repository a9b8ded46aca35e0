// The transformer that CLIP's text and vision models share (Radford et al. 2021), under transformers' parameter names.
import { add, attention, type Tensor } from "../graph/index.ts";
import { fromHeads, toHeads } from "./attentionBlock.ts";
import { type ClipTextConfig, type ClipVisionConfig, clipActivation } from "./clipConfig.ts";
import { layerNorm, linear } from "./layers.ts";
import { type Params, seen } from "./params.ts";
import { block } from "./remat.ts";

/** x [B, L, D]; the state before the first layer and after each: num_hidden_layers + 1 tensors. */
export function clipLayers(
  c: ClipTextConfig | ClipVisionConfig,
  p: Params,
  name: string,
  x: Tensor,
  causal: boolean,
): Tensor[] {
  const states = [x];
  for (let i = 0; i < c.num_hidden_layers; i++)
    states.push(block(p, () => layer(c, p, `${name}.layers.${i}`, states[i], causal)));
  return states;
}

function layer(c: ClipTextConfig | ClipVisionConfig, p: Params, name: string, x: Tensor, causal: boolean): Tensor {
  const normed = layerNorm(p, `${name}.layer_norm1`, x, c.layer_norm_eps);
  const h = add(x, selfAttention(p, `${name}.self_attn`, normed, c.num_attention_heads, causal));
  const inner = linear(
    p,
    `${name}.mlp.fc1`,
    layerNorm(p, `${name}.layer_norm2`, h, c.layer_norm_eps),
    c.intermediate_size,
  );
  const fed = linear(p, `${name}.mlp.fc2`, clipActivation(c.hidden_act, inner), c.hidden_size);
  return seen(p, name, add(h, fed));
}

function selfAttention(p: Params, name: string, x: Tensor, heads: number, causal: boolean): Tensor {
  const width = x.shape[2];
  const project = (part: string) => toHeads(linear(p, `${name}.${part}`, x, width), heads, width / heads);
  const y = attention(project("q_proj"), project("k_proj"), project("v_proj"), { causal });
  return linear(p, `${name}.out_proj`, fromHeads(y), width);
}
