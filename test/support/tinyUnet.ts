/** The smallest U-Net with attention and labels. */
export const tinyUnet = {
  family: "unet2d",
  config: {
    sample_size: 4,
    in_channels: 1,
    out_channels: 1,
    block_out_channels: [4, 8],
    layers_per_block: 1,
    down_block_types: ["DownBlock2D", "AttnDownBlock2D"],
    up_block_types: ["AttnUpBlock2D", "UpBlock2D"],
    attention_head_dim: 4,
    norm_num_groups: 2,
    num_class_embeds: 4,
  },
};
