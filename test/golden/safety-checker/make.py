# Writes golden.json and golden.safetensors beside this file, and the tiny checker in safety_checker/: random weights.
# Made with diffusers 0.40.0.dev0, transformers 5.18.0 and torch 2.13.0: python make.py
import json
import pathlib
import sys

import numpy as np
import torch
from PIL import Image
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker, cosine_distance
from safetensors.torch import save_file
from transformers import CLIPConfig
from transformers import CLIPImageProcessorPil as Processor

here = pathlib.Path(__file__).parent
torch.manual_seed(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
size = 16
vision = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=size, patch_size=8)
config = CLIPConfig(vision_config={**vision, "projection_dim": 12}, projection_dim=12)
model = StableDiffusionSafetyChecker(config).eval()
with torch.no_grad():
    for parameter in model.parameters():
        parameter.copy_(torch.randn_like(parameter) * 0.3 + (1.0 if parameter.ndim == 1 else 0.0) * 0.5)
processor = Processor(size={"shortest_edge": size}, crop_size={"height": size, "width": size})
rng = np.random.default_rng(3)
pictures = []
for k in range(6):
    coarse = rng.integers(0, 256, (3, 4, 3), dtype=np.uint8)
    pictures.append(np.asarray(Image.fromarray(coarse).resize((28, 22), Image.BICUBIC)))
pixels = processor([Image.fromarray(p) for p in pictures], return_tensors="pt")["pixel_values"].float()

with torch.no_grad():
    embeds = model.visual_projection(model.vision_model(pixels)[1])
    # Concepts that one picture is nearer to than the others are.
    apart = embeds - embeds.mean(0)
    model.concept_embeds[3], model.concept_embeds[5] = apart[1], apart[2]
    model.special_care_embeds[0], model.special_care_embeds[1] = apart[2], apart[4]
    concepts = cosine_distance(embeds, model.concept_embeds).numpy()
    special = cosine_distance(embeds, model.special_care_embeds).numpy()
    # Thresholds with which 1 is unsafe by a concept, 2 and 4 only because a special concept lowers the thresholds.
    def owned_by(cosines, picture):
        """The column that picture leads by most, and half of its lead."""
        others = np.delete(cosines, picture, 0).max(0)
        lead = cosines[picture] - others
        assert lead.max() > 0.002, (picture, lead.max())
        return int(lead.argmax()), float(lead.max() / 2)

    model.concept_embeds_weights.copy_(torch.tensor(concepts.max(0) + 0.2))
    model.special_care_embeds_weights.copy_(torch.tensor(special.max(0) + 0.2))
    column, lead = owned_by(concepts, 1)
    model.concept_embeds_weights[column] = float(concepts[1, column] - lead)
    column, _ = owned_by(concepts, 2)
    model.concept_embeds_weights[column] = float(concepts[2, column] + 0.006)
    for picture in (2, 4):
        column, lead = owned_by(special, picture)
        model.special_care_embeds_weights[column] = float(special[picture, column] - lead)
    images = np.stack(pictures).astype(np.float32) / 255
    blacked, unsafe = model(images=[i.copy() for i in images], clip_input=pixels)
    scores = concepts - model.concept_embeds_weights.numpy()
    special_scores = special - model.special_care_embeds_weights.numpy()

folder = here / "safety_checker"
folder.mkdir(exist_ok=True)
(folder / "config.json").write_text(json.dumps(json.loads(config.to_json_string()) | {"architectures": ["StableDiffusionSafetyChecker"]}, indent=1) + "\n")
# The names of the published file; newer versions write one "vision_model." only.
state = {("vision_model." + k if k.startswith("vision_model.") else k): v.clone() for k, v in model.state_dict().items()}
state["vision_model.vision_model.embeddings.position_ids"] = torch.arange(5)[None]
save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
(here / "feature_extractor").mkdir(exist_ok=True)
(here / "feature_extractor" / "preprocessor_config.json").write_text(
    json.dumps({"crop_size": size, "size": size, "do_center_crop": True, "do_normalize": True, "do_resize": True, "resample": 3,
                "feature_extractor_type": "CLIPFeatureExtractor",
                "image_mean": processor.image_mean, "image_std": processor.image_std}, indent=1) + "\n")
tensors = {
    "pictures": torch.tensor(np.stack(pictures)).permute(0, 3, 1, 2).float().contiguous(),
    "pixel_values": pixels, "concept_scores": torch.tensor(scores), "special_scores": torch.tensor(special_scores),
}
save_file(tensors, here / "golden.safetensors", metadata={"format": "pt"})
note = lambda t: {"shape": list(t.shape), "rms": float(t.square().mean().sqrt()), "max_abs": float(t.abs().max())}
(here / "golden.json").write_text(json.dumps({
    "kind": "safety-checker",
    "about": "A safety checker with random weights; pictures 0 to 255, scores are cosines minus thresholds.",
    "safety_checker": "safety_checker", "feature_extractor": "feature_extractor/preprocessor_config.json",
    "pictures": "pictures", "pixel_values": "pixel_values", "concepts": "concept_scores", "special": "special_scores",
    "unsafe": [bool(u) for u in unsafe], "tensors": {k: note(v) for k, v in tensors.items()},
}, indent=1) + "\n")
print(unsafe, [bool((np.array(b) == 0).all()) for b in blacked])
print((special_scores > 0).any(1), (scores > 0).any(1))
