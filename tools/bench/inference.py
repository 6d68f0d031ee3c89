"""Images per second of engines and precisions on the CPU, in ratios; one run, one table.

    python tools/bench/inference.py [--rounds 3] [--networks resnet18 sface] [--threads 1 2]

Networks of timm have random weights (their speed is that of trained ones) and no classifier; SFace
is the public model and has no torch network. Inputs are 112 x 112 pixels. torch computes a batch
with all threads; facever computes ONNX models one image per thread, so a batch of 1 has one. torch
gets normalised floats; the time of facever's engines includes the normalisation. int8 is of every
layer; the best engine is that of the others. Each number of threads is a process of its own, bound
to as many CPUs.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from _figures import Figure, Rounds, as_json, as_table, at_least, ratios
from common import in_turns

NETWORKS = ("resnet18", "mobilenetv4_conv_small", "vit_tiny_patch16_224", "sface")
BATCHES = (1, 16)
SIZE = 112
_LEAST = 0.1  # seconds of a round
_CALIBRATION = 40  # images; any will do for a speed

JUDGED = "resnet18"
ONNXRUNTIME, BEST = 1.2, 4.0  # times torch fp32; the best engine where the processor has AMX


def has_amx() -> bool:
    return " amx_bf16" in Path("/proc/cpuinfo").read_text()


def torch_works(name: str) -> tuple[dict[str, Callable[[np.ndarray], object]], Any]:
    """Return torch in fp32 and in bf16, as facever runs it, and the network."""
    import timm
    import torch

    from facever.models.precision import autocast, fastest_layout

    options = {"img_size": SIZE} if name.startswith("vit") else {}
    network = timm.create_model(name, num_classes=0, **options).eval()
    cpu = torch.device("cpu")

    def work(precision: Any) -> Callable[[np.ndarray], object]:
        layout = fastest_layout(network, precision, cpu)

        def run(pixels: np.ndarray) -> object:
            images = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(torch.float32) / 255
            images = images.contiguous(memory_format=layout)
            with torch.inference_mode(), autocast(precision, cpu):
                return network(images)

        return run

    return {"torch fp32": work("fp32"), "torch bf16": work("bf16")}, network


def exported(network: Any, path: Path) -> Path:
    """Write a network of torch as an ONNX file with a card."""
    import torch

    from facever.models.onnx.adding import add_model

    source = path.with_suffix(".source.onnx")
    torch.onnx.export(
        network,
        (torch.randn(2, 3, SIZE, SIZE),),
        str(source),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
        external_data=False,
        verbose=False,
    )
    return add_model(source, path, size=(SIZE, SIZE), mean=0, std=255).path


def engine_works(model: str | Path, folder: Path) -> dict[str, Callable[[np.ndarray], object]]:
    """Return facever's engines of ONNX models."""
    from facever import load_model
    from facever.errors import ConfigError
    from facever.models.onnx.quantizing import quantize

    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (_CALIBRATION, 7, 7, 3), dtype=np.uint8)
    images = [one.repeat(16, 0).repeat(16, 1) for one in coarse]
    int8 = quantize(model, folder / "int8.onnx", images, most_distance=2).path
    wanted: dict[str, dict[str, Any]] = {
        "onnxruntime fp32": {"model": model, "engine": "onnxruntime"},
        "onnxruntime int8": {"model": int8, "engine": "onnxruntime"},
        "openvino fp32": {"model": model, "engine": "openvino"},
        "openvino bf16": {"model": model, "engine": "openvino", "precision": "bf16"},
        "openvino int8": {"model": int8, "engine": "openvino"},
    }
    works = {}
    for name, options in wanted.items():
        try:
            works[name] = load_model(**options).embed_pixels
        except ConfigError as error:  # a processor without bf16
            print(f"{name}: {error}", file=sys.stderr)
    return works


def measured(network: str, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Return the seconds per image of each engine, by batch, in every round."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if network == "sface":
            works, model = {}, Path("sface")
        else:
            works, made = torch_works(network)
            model = exported(made, folder / "model.onnx")
        works |= engine_works(str(model) if network == "sface" else model, folder)
        random = np.random.default_rng(1)
        batches = [random.integers(0, 256, (n, SIZE, SIZE, 3), np.uint8) for n in BATCHES]
        return {str(len(batch)): seconds_each(works, batch, rounds) for batch in batches}


def seconds_each(
    works: dict[str, Callable[[np.ndarray], object]], batch: np.ndarray, rounds: int
) -> dict[str, list[float]]:
    """Return the seconds per image of each work in every round."""
    counts = {key: times(partial(work, batch)) for key, work in works.items()}
    taken = in_turns(
        rounds, *(partial(repeat, work, batch, counts[key]) for key, work in works.items())
    )
    return {
        key: [one / counts[key] / len(batch) for one in seconds]
        for key, seconds in zip(works, taken, strict=True)
    }


def repeat(work: Callable[[np.ndarray], object], batch: np.ndarray, count: int) -> None:
    for _ in range(count):
        work(batch)


def times(work: Callable[[], object]) -> int:
    """Return how many times a work fits into the least time of a round."""
    work()
    begun = time.perf_counter()
    work()
    return max(1, round(_LEAST / (time.perf_counter() - begun)))


def in_process(network: str, threads: int, rounds: int) -> dict[str, dict[str, list[float]]]:
    words = [sys.executable, __file__, "--child", network, "--threads", str(threads)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    words += ["--rounds", str(rounds)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: {done.stderr}")
    sys.stderr.write("".join(line for line in done.stderr.splitlines(True) if "bf16" in line))
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def figures_of_network(
    network: str, threads: int, found: dict[str, dict[str, list[float]]], amx: bool
) -> list[Figure]:
    figures = []
    for batch, seconds in found.items():
        case = f"{network}, batch {batch}, {threads} thread{'s' * (threads > 1)}"
        for key, taken in seconds.items():
            rate = Rounds([1 / one for one in taken])
            figures.append(at_least(f"{case}: {key}", rate, "images/s", None))
        base = "torch fp32" if "torch fp32" in seconds else "onnxruntime fp32"
        over = {key: ratios(seconds[base], taken) for key, taken in seconds.items() if key != base}
        judged = network == JUDGED
        for key, ratio in over.items():
            limit = ONNXRUNTIME if judged and key == "onnxruntime fp32" else None
            figures.append(at_least(f"{case}: {key} over {base}", ratio, "x", limit))
        best = max((key for key in over if "int8" not in key), key=lambda key: over[key])
        name = f"{case}: best ({best}) over {base}"
        figure = at_least(name, over[best], "x", BEST if judged else None)
        if judged and not amx and figure.status != "unstable":
            figure = figure._replace(met=None, status="not judged, the processor has no AMX")
        figures.append(figure)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.child:
        (threads,) = options.threads
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
        print(json.dumps(measured(options.child, options.rounds)))
        return
    amx, begun = has_amx(), time.perf_counter()
    figures = [
        figure
        for network in options.networks
        for threads in options.threads
        for figure in figures_of_network(
            network, threads, in_process(network, threads, options.rounds), amx
        )
    ]
    seconds = time.perf_counter() - begun
    print(as_json(figures, seconds=seconds, amx=amx) if options.json else as_table(figures))


if __name__ == "__main__":
    main()
