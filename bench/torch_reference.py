"""PyTorch's side of `npm run bench:engine`: the same networks under the same parameter names, run in eager mode.

It is a server: one JSON request per line on stdin, one JSON answer per line on stdout.

  {"do": "hello", "threads": 2, "gpu": false,        versions, device, and the speed of a 1024 x 1024 matrix product in
   "half": false}                                    GFLOP/s; gpu: on CUDA or MPS where there is one; half: autocast to float16
  {"do": "open", "family", "config", "names",        reads weights and inputs (a safetensors file, mapped, not copied);
   "file", "channelsLast"}                           `names` is the order of the flat parameter vector
  {"do": "prepare", "phase", "out", "lr",            lossScale: of the loss that is differentiated;
   "lossScale": 1}                                   sets up a phase, runs it once and writes what it computed to `out`,
                                                     raw float32: forward: y; forward+backward: loss, gradient;
                                                     step: loss, norm, new weights, new averages
  {"do": "time", "runs": 3, "warm": 1}               mean milliseconds, and milliseconds of processor time, of `runs` runs
                                                     after `warm` runs without a clock; processor time of the process
  {"do": "memory"}                                   peak resident memory of this process in MiB (null outside Linux)
  {"do": "matmul"}                                   GFLOP/s, as in hello

PyTorch gets its fastest ordinary form: inference mode for the forward pass, scaled_dot_product_attention, the fused
AdamW and the multi-tensor clipping and averaging where the version has them. It needs nothing but torch.
"""

import ctypes
import json
import math
import mmap
import struct
import sys
import time

import torch
import torch.nn.functional as F

DTYPES = {"F32": torch.float32, "I64": torch.int64}


def read_safetensors(path):
    """A private map of the file, so that weights cost memory once and may be written to."""
    with open(path, "rb") as file:
        buffer = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    length = struct.unpack("<Q", buffer[:8])[0]
    header = json.loads(buffer[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        dtype = DTYPES[entry["dtype"]]
        count = (end - start) // (8 if dtype == torch.int64 else 4)
        flat = torch.frombuffer(buffer, dtype=dtype, count=count, offset=8 + length + start)
        tensors[name] = flat.reshape(entry["shape"])
    return tensors


# Layers by parameter name.


def linear(p, name, x):
    return F.linear(x, p[name + ".weight"], p.get(name + ".bias"))


def conv(p, name, x, stride=1):
    w = p[name + ".weight"]
    return F.conv2d(x, w, p[name + ".bias"], stride=stride, padding=(w.shape[2] - 1) // 2)


def group_norm(p, name, x, groups, eps):
    return F.group_norm(x, groups, p[name + ".weight"], p[name + ".bias"], eps)


def layer_norm(p, name, x, eps=1e-5):
    return F.layer_norm(x, x.shape[-1:], p[name + ".weight"], p[name + ".bias"], eps)


def attend(q, k, v):
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v)
    return torch.softmax((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2), -1) @ v


def attention(p, name, x, heads, context=None):
    context = x if context is None else context
    q, k, v = (
        linear(p, f"{name}.{part}", source).unflatten(-1, (heads, -1)).transpose(1, 2)
        for part, source in (("to_q", x), ("to_k", context), ("to_v", context))
    )
    return linear(p, f"{name}.to_out.0", attend(q, k, v).transpose(1, 2).flatten(2))


def sinusoid(t, width, flip=True, shift=0):
    half = width // 2
    rates = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32, device=t.device) / (half - shift))
    angles = t[:, None] * rates[None]
    parts = [torch.cos(angles), torch.sin(angles)]
    return torch.cat(parts if flip else parts[::-1], 1)


def timestep_mlp(p, x):
    return linear(p, "time_embedding.linear_2", F.silu(linear(p, "time_embedding.linear_1", x)))


# Networks. Each is a function of parameters, configuration and inputs, as in src/nn.


def mlp(p, c, i):
    signal = F.silu(timestep_mlp(p, sinusoid(i["tau"], c["width"])))
    h = linear(p, "input", i["x"])
    for k in range(c["depth"]):
        name = f"blocks.{k}"
        inner = linear(p, name + ".linear_1", layer_norm(p, name + ".norm", h)) + linear(p, name + ".condition", signal)
        h = h + linear(p, name + ".linear_2", F.silu(inner))
    return linear(p, "output", F.silu(layer_norm(p, "norm_out", h)))


def dit(p, c, i):
    x, width, patch = i["x"], c["width"], c["patch"]
    batch, channels, height, columns = x.shape[0], x.shape[1], x.shape[2] // patch, x.shape[3] // patch
    tokens = x.reshape(batch, channels, height, patch, columns, patch).permute(0, 2, 4, 1, 3, 5)
    h = linear(p, "patch_embedding", tokens.reshape(batch, height * columns, -1)) + p["positions"]
    signal = F.silu(timestep_mlp(p, sinusoid(i["tau"], 256)))

    def norm(y, shift, scale):
        return F.layer_norm(y, (width,), None, None, 1e-6) * (1 + scale) + shift

    for k in range(c["depth"]):
        name = f"blocks.{k}"
        m = linear(p, name + ".modulation", signal)[:, None].chunk(6, -1)
        qkv = linear(p, name + ".attention.qkv", norm(h, m[0], m[1]))
        q, k_, v = qkv.unflatten(-1, (3, c["heads"], -1)).permute(2, 0, 3, 1, 4)
        h = h + m[2] * linear(p, name + ".attention.proj", attend(q, k_, v).transpose(1, 2).flatten(2))
        hidden = F.gelu(linear(p, name + ".mlp.linear_1", norm(h, m[3], m[4])), approximate="tanh")
        h = h + m[5] * linear(p, name + ".mlp.linear_2", hidden)
    shift, scale = linear(p, "final.modulation", signal)[:, None].chunk(2, -1)
    h = linear(p, "final.linear", norm(h, shift, scale))
    return h.reshape(batch, height, columns, channels, patch, patch).permute(0, 3, 1, 4, 2, 5).reshape(x.shape)


def resnet(p, name, x, temb, groups, eps):
    h = conv(p, name + ".conv1", F.silu(group_norm(p, name + ".norm1", x, groups, eps)))
    h = h + linear(p, name + ".time_emb_proj", F.silu(temb))[:, :, None, None]
    h = conv(p, name + ".conv2", F.silu(group_norm(p, name + ".norm2", h, groups, eps)))
    return h + (conv(p, name + ".conv_shortcut", x) if name + ".conv_shortcut.weight" in p else x)


def pixel_attention(p, name, x, c):
    normed = group_norm(p, name + ".group_norm", x, c["norm_num_groups"], c["norm_eps"])
    heads = x.shape[1] // (c["attention_head_dim"] or x.shape[1])
    y = attention(p, name, normed.flatten(2).transpose(1, 2), heads)
    return y.transpose(1, 2).reshape(x.shape) + x


def transformer(p, name, x, context, heads, groups):
    h = conv(p, name + ".proj_in", group_norm(p, name + ".norm", x, groups, 1e-6)).flatten(2).transpose(1, 2)
    k = 0
    while f"{name}.transformer_blocks.{k}.norm1.weight" in p:
        block = f"{name}.transformer_blocks.{k}"
        h = h + attention(p, block + ".attn1", layer_norm(p, block + ".norm1", h), heads)
        h = h + attention(p, block + ".attn2", layer_norm(p, block + ".norm2", h), heads, context)
        value, gate = linear(p, block + ".ff.net.0.proj", layer_norm(p, block + ".norm3", h)).chunk(2, -1)
        h = h + linear(p, block + ".ff.net.2", value * F.gelu(gate))
        k += 1
    return conv(p, name + ".proj_out", h.transpose(1, 2).reshape(x.shape)) + x


def unet(p, c, i, temb, attend_at):
    """The U of both diffusers families; attend_at(name, level, x) is what stands in the attention slots."""
    groups, eps, levels = c["norm_num_groups"], c["norm_eps"], len(c["block_out_channels"])

    def res(name, x):
        return resnet(p, name, x, temb, groups, eps)

    h = conv(p, "conv_in", i["x"])
    skips = [h]
    for k, kind in enumerate(c["down_block_types"]):
        for j in range(c["layers_per_block"]):
            h = res(f"down_blocks.{k}.resnets.{j}", h)
            if "Attn" in kind:
                h = attend_at(f"down_blocks.{k}.attentions.{j}", k, h)
            skips.append(h)
        if k < levels - 1:
            h = conv(p, f"down_blocks.{k}.downsamplers.0.conv", h, stride=2)
            skips.append(h)
    h = res("mid_block.resnets.0", h)
    h = attend_at("mid_block.attentions.0", levels - 1, h)
    h = res("mid_block.resnets.1", h)
    for k, kind in enumerate(c["up_block_types"]):
        for j in range(c["layers_per_block"] + 1):
            h = res(f"up_blocks.{k}.resnets.{j}", torch.cat([h, skips.pop()], 1))
            if "Attn" in kind:
                h = attend_at(f"up_blocks.{k}.attentions.{j}", levels - 1 - k, h)
        if k < levels - 1:
            h = conv(p, f"up_blocks.{k}.upsamplers.0.conv", F.interpolate(h, scale_factor=2.0, mode="nearest"))
    return conv(p, "conv_out", F.silu(group_norm(p, "conv_norm_out", h, groups, eps)))


def time_of(p, c, i):
    wave = sinusoid(i["tau"], c["block_out_channels"][0], c["flip_sin_to_cos"], c["freq_shift"])
    temb = timestep_mlp(p, wave)
    return temb + p["class_embedding.weight"][i["labels"]] if "labels" in i else temb


def unet2d(p, c, i):
    return unet(p, c, i, time_of(p, c, i), lambda name, level, x: pixel_attention(p, name, x, c))


def unet2d_condition(p, c, i):
    heads = c["attention_head_dim"]

    def attend_at(name, level, x):
        count = heads[level] if isinstance(heads, list) else heads
        return transformer(p, name, x, i["context"], count, c["norm_num_groups"])

    return unet(p, c, i, time_of(p, c, i), attend_at)


FAMILIES = {"mlp": mlp, "dit": dit, "unet2d": unet2d, "unet2dCondition": unet2d_condition}


class Case:
    def __init__(self, request, device, half):
        stored = {k: v.to(device) for k, v in read_safetensors(request["file"]).items()}
        self.device, self.half = device, half
        self.network, self.config = FAMILIES[request["family"]], request["config"]
        self.names = request["names"]
        self.inputs = {k[6:]: v for k, v in stored.items() if k.startswith("input:")}
        self.weights = {name: stored[name] for name in self.names}
        if request.get("channelsLast"):
            last = {"memory_format": torch.channels_last}
            self.inputs = {k: v.contiguous(**last) if v.dim() == 4 else v for k, v in self.inputs.items()}
            self.weights = {k: v.contiguous(**last) if v.dim() == 4 else v for k, v in self.weights.items()}

    def apply(self, weights):
        with torch.autocast(self.device.type, dtype=torch.float16, enabled=self.half):
            return self.network(weights, self.config, self.inputs).float()

    def prepare(self, phase, lr, scale):
        """Returns a run of the phase: a function that gives the tensors to compare."""
        if phase == "forward":
            return self.forward
        weights = {k: v.clone().requires_grad_() for k, v in self.weights.items()}
        leaves = [weights[name] for name in self.names]

        def backward():
            for leaf in leaves:
                leaf.grad = None
            loss = F.mse_loss(self.apply(weights), self.inputs["target"])
            (loss if scale == 1 else loss * scale).backward()
            if scale != 1:
                torch._foreach_div_(grads(), scale)
            return loss.detach()

        def grads():
            return [torch.zeros_like(w) if w.grad is None else w.grad for w in leaves]

        if phase == "forward+backward":
            return lambda: [backward(), *grads()]
        averages = [leaf.detach().clone() for leaf in leaves]
        optimizer = adamw(leaves, lr)
        count = 0

        def step():
            nonlocal count
            loss = backward()
            norm = torch.nn.utils.clip_grad_norm_(leaves, 1.0)
            optimizer.step()
            count += 1
            decay = 0 if count <= 1 else min(0.9999, count / (9 + count))
            with torch.no_grad():
                torch._foreach_mul_(averages, decay)
                torch._foreach_add_(averages, leaves, alpha=1 - decay)
            return [loss, norm, *leaves, *averages]

        return step

    def forward(self):
        with torch.inference_mode():
            return [self.apply(self.weights).cpu()]


def adamw(leaves, lr):
    options = dict(lr=lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2)
    try:
        return torch.optim.AdamW(leaves, fused=True, **options)
    except (RuntimeError, TypeError):
        return torch.optim.AdamW(leaves, foreach=True, **options)


def write(path, tensors):
    with open(path, "wb") as file:
        for tensor in tensors:
            flat = tensor.detach().float().cpu().contiguous().reshape(-1)
            file.write(ctypes.string_at(flat.data_ptr(), flat.numel() * 4))


def gpu():
    if torch.cuda.is_available():
        return torch.device("cuda")
    mps = getattr(torch.backends, "mps", None)
    return torch.device("mps" if mps is not None and mps.is_available() else "cpu")


def device_name(device):
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def finish(device):
    """Waits for what was started on the device."""
    if device.type != "cpu":
        (torch.cuda if device.type == "cuda" else torch.mps).synchronize()


def matmul_speed(device, size=1024):
    a, b = (torch.randn(size, size, device=device) for _ in range(2))
    times = []
    for _ in range(12):
        finish(device)
        start = time.perf_counter()
        a @ b
        finish(device)
        times.append(time.perf_counter() - start)
    return 2 * size**3 / min(times) / 1e9


def peak_memory():
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))
    except OSError:
        return None


def main():
    case = run = None
    device, half = torch.device("cpu"), False
    for line in sys.stdin:
        request = json.loads(line)
        answer = {}
        if request["do"] == "hello":
            torch.set_num_threads(request["threads"])
            device, half = gpu() if request.get("gpu") else device, request.get("half", False)
            answer = {
                "torch": torch.__version__,
                "device": device_name(device),
                "threads": torch.get_num_threads(),
                "matmul": matmul_speed(device),
            }
        elif request["do"] == "matmul":
            answer = {"matmul": matmul_speed(device)}
        elif request["do"] == "open":
            case, run = Case(request, device, half), None
        elif request["do"] == "prepare":
            run = case.prepare(request["phase"], request["lr"], request.get("lossScale", 1))
            write(request["out"], run())
        elif request["do"] == "time":
            for _ in range(request["warm"]):
                run()
            finish(device)
            start, before = time.perf_counter(), time.process_time()
            for _ in range(request["runs"]):
                run()
            finish(device)
            unit, now = 1000 / request["runs"], time.process_time()
            answer = {"ms": (time.perf_counter() - start) * unit, "cpuMs": (now - before) * unit, "cpu": now * 1000}
        elif request["do"] == "memory":
            answer = {"mib": peak_memory()}
        print(json.dumps(answer), flush=True)


main()
