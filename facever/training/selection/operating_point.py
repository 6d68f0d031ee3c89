"""The run's 1:1 operating point, set on the development identities and never on a test set."""

import tempfile
from contextlib import nullcontext
from pathlib import Path

import torch

from facever.core.console import say, warn
from facever.core.processes import from_main, is_main
from facever.data.manifest import Manifest
from facever.evaluation.one_to_one.verification import verification
from facever.models.loading import load_model
from facever.training.config import TrainConfig
from facever.training.run import Run


def set_operating_point(
    run: Run, development: Manifest, config: TrainConfig, device: torch.device
) -> None:
    """Embed the development images with the exported model and save the threshold.

    Every process must call it: they share the images.

    Where there are too few impostor pairs for the wanted FAR no operating point is made, and a
    line says what it would need.
    """
    far = config.operating_point_far
    extractor = load_model(run.path, device=str(device))
    with tempfile.TemporaryDirectory(dir=run.path) if is_main() else nullcontext("") as made:
        folder = Path(from_main(made))
        embeddings = extractor.extract(
            development,
            folder / "development",
            workers=0,
            on_error=config.data.on_error,
            photos=False,  # as the training takes them
        )
        if not is_main():
            return
        result = verification(embeddings, far=[far])
    if result.refused:
        warn(
            f"no operating point: FAR {far:g} needs {result.refused[0].needs:,} impostor pairs, "
            f"the development identities give {result.trials.impostor:,}; raise "
            "operating_point_far, or set one later with facever evaluate verification"
        )
        return
    point = result.operating_point(far)
    point.save(run.operating_point)
    measured = result.at(far)
    say(
        f"operating point: score > {point.threshold:.4f} for FAR {far:g} "
        f"({measured.false_accepts} of {point.trials.impostor:,} impostor pairs accepted, "
        f"TAR {measured.tar:.3f} on {point.trials.genuine:,} genuine ones), on development people"
    )
