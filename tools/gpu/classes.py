"""Class layers of 10^5 to 10^7 identities: values against float64, time and memory of an update."""

import time
from typing import Literal

import torch

from facever.heads import Head
from facever.heads.classes.layout import PrototypesConfig
from facever.heads.registry import build_head, head_class
from tools.gpu.context import Context, Finding, judged

BATCH, WIDTH = 256, 512
LOGITS: tuple[Literal["kept"], Literal["streamed"]] = ("kept", "streamed")
BYTES = 2.5 * 4 * WIDTH  # of an identity: its prototype, the gradient, and half as much to spare


def values(context: Context) -> list[Finding]:
    """Compare losses and gradients with those of the CPU in float64."""
    found = []
    for logits in LOGITS:
        torch.manual_seed(0)
        head = _cosface(64, 500, logits)
        x, labels = torch.randn(32, 64), torch.randint(0, 500, (32,))
        gradients = []
        for device, dtype in (("cpu", torch.float64), (context.device, torch.float32)):
            head = head.to(device, dtype)
            given = x.to(device, dtype).requires_grad_()
            loss = head(given, labels.to(device)).loss
            gradients.append(torch.autograd.grad(loss, [given, *head.parameters()]))
        apart = max(
            float((two.cpu().double() - one).abs().max() / one.abs().max())
            for one, two in zip(*gradients, strict=True)
        )
        said = f"largest difference of a gradient {apart:.1e} of the largest one"
        found.append(judged(f"class layer, {logits}, against float64", apart < 1e-4, said))
    return found


def scale(context: Context) -> list[Finding]:
    """Time a forward and backward pass of CosFace at growing numbers of identities."""
    found = []
    for identities in (10**5, 10**6, 10**7) if context.on_gpu else (10**3,):
        name = f"class layer, {identities:,} identities"
        if context.on_gpu and identities * BYTES > torch.cuda.mem_get_info()[0]:
            needed = f"{identities * BYTES / 2**30:.0f} GiB"
            found.append(Finding(name, "skipped", f"needs {needed} of free GPU memory"))
            continue
        with torch.device(context.device):
            head = _cosface(WIDTH, identities, "streamed")
            x = torch.randn(BATCH, WIDTH, requires_grad=True)
            labels = torch.randint(0, identities, (BATCH,))
        times = []
        for _ in range(4):
            head.zero_grad(set_to_none=True)
            context.synchronize()
            began = time.perf_counter()
            head(x, labels).loss.backward()
            context.synchronize()
            times.append(time.perf_counter() - began)
        memory = torch.cuda.max_memory_allocated() / 2**30 if context.on_gpu else 0.0
        said = f"{1e3 * min(times[1:]):.1f} ms for {BATCH} images of width {WIDTH}"
        found.append(Finding(name, "measured", said + (f", {memory:.1f} GiB" if memory else "")))
        del head
        if context.on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
    return found


def _cosface(size: int, identities: int, logits: Literal["kept", "streamed"]) -> Head:
    config = head_class("cosface").Config(name="cosface")
    return build_head(config, size, identities, PrototypesConfig(logits=logits))
