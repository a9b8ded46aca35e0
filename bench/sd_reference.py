"""PyTorch's side of bench/sdPicture.ts: the U-Net of a folder by diffusers, with its fastest ordinary attention.

sd_reference.py <folder> float32|bfloat16 <threads> <latent size>: seconds until it is ready, of an evaluation after the first,
and the peak of the process in GiB, as one line of JSON.
"""

import json
import resource
import sys
import time

import torch
from diffusers import UNet2DConditionModel

folder, dtype, threads, size = sys.argv[1:]
torch.set_num_threads(int(threads))
begin = time.perf_counter()
unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet", torch_dtype=getattr(torch, dtype)).eval()
ready = time.perf_counter() - begin
x = torch.sin(torch.arange(4 * int(size) ** 2, dtype=torch.float32)).reshape(1, 4, int(size), int(size))
context = torch.cos(torch.arange(77 * unet.config.cross_attention_dim, dtype=torch.float32)).reshape(1, 77, -1)
seconds = []
with torch.inference_mode():
    for k in range(2):
        started = time.perf_counter()
        y = unet(x.to(unet.dtype), 500, context.to(unet.dtype)).sample
        if k > 0:
            seconds.append(time.perf_counter() - started)
if not torch.isfinite(y).all():
    raise SystemExit("The U-Net gave what is no number.")
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(json.dumps({"ready": ready, "seconds": seconds, "peak": peak}))
