"""The examples that `facever VERB --help` ends with: one table for all verbs."""

from typing import Any

EXAMPLES: dict[str, tuple[str, ...]] = {
    "quickstart": ("facever quickstart", "facever quickstart --minutes 5 --photos PHOTOS"),
    "data inspect": ("facever data inspect FACES", "facever data inspect MSMT17_V1 --json"),
    "data split": ("facever data split FACES --shares train=0.8 test=0.2 --out people.csv",),
    "data shard": ("facever data shard DATA --out SHARDS --size 256",),
    "data unpack": ("facever data unpack train.rec --out FACES",),
    "data align": ("facever data align PHOTOS --out CROPS",),
    "data synthesize": ("facever data synthesize PEOPLE --identities 30",),
    "train": (
        "facever train folder data.root=FACES --out RUN",
        "facever train folder data.root=FACES --dry-run",
        "facever train --resume RUN epochs=40",
    ),
    "bakeoff": ("facever bakeoff bakeoff_lfw --heads softmax cosface arcface --seeds 3",),
    "embed": (
        "facever embed RUN FACES --out EMBEDDINGS",
        "facever embed sface PHOTOS --out EMBEDDINGS",
    ),
    "embeddings import": (
        "facever embeddings import features.npz --vectors features --identities pids --out NAMED",
    ),
    "evaluate verification": (
        "facever evaluate verification EMBEDDINGS --far 1e-2 1e-3",
        "facever evaluate verification EMBEDDINGS --pairs pairs.csv --json",
    ),
    "evaluate retrieval": (
        "facever evaluate retrieval EMBEDDINGS --queries subset=query --gallery subset=gallery "
        "--camera camera",
    ),
    "evaluate identification": (
        "facever evaluate identification PROBES ENROLLED --fpir 0.1 "
        "--save-operating-point many.json",
    ),
    "evaluate compare": ("facever evaluate compare EMBEDDINGS OTHERS --far 1e-3",),
    "evaluate calibration": (
        "facever evaluate calibration EMBEDDINGS --prior 0.01 --save-calibration calibration.json",
    ),
    "evaluate scores": ("facever evaluate scores scores-dev.txt --far 1e-2",),
    "evaluate transfer": ("facever evaluate transfer point.json EMBEDDINGS",),
    "gallery create": (
        "facever gallery create GALLERY --model RUN",
        "facever gallery create GALLERY --model sface --templates mean",
    ),
    "gallery enroll": ("facever gallery enroll GALLERY FACES --model RUN",),
    "gallery search": (
        "facever gallery search GALLERY someone.jpg --model RUN",
        "facever gallery search GALLERY group.jpg --model sface --face all",
        "facever gallery search GALLERY someone.jpg --model RUN --camera hall "
        "--taken-from 2026-11-01T00:00:00Z",
    ),
    "gallery verify": ("facever gallery verify GALLERY ada ada.jpg --model RUN",),
    "gallery update": ("facever gallery update GALLERY ada role=guest --forget site",),
    "gallery remove": ("facever gallery remove GALLERY bob",),
    "gallery purge": ("facever gallery purge GALLERY",),
    "gallery crops": ("facever gallery crops GALLERY", "facever gallery crops GALLERY --keep"),
    "gallery expire": ("facever gallery expire GALLERY --dry-run",),
    "gallery copy": (
        "facever gallery copy GALLERY 'postgresql:///faces?gallery=staff'",
        "facever gallery copy 'postgresql:///faces?gallery=staff' BACK",
    ),
    "gallery merge": ("facever gallery merge GALLERY bob ada-2",),
    "gallery split": ("facever gallery split GALLERY ada-2 bob staff/bob.jpg",),
    "gallery threshold": ("facever gallery threshold GALLERY many.json --name door",),
    "gallery calibration": ("facever gallery calibration GALLERY calibration.json",),
    "gallery info": ("facever gallery info GALLERY",),
    "gallery people": ("facever gallery people GALLERY --where site=A",),
    "gallery images": ("facever gallery images GALLERY ada",),
    "gallery audit": ("facever gallery audit GALLERY --person bob",),
    "gallery uses": ("facever gallery uses GALLERY --last 20",),
    "gallery check": ("facever gallery check GALLERY",),
    "gallery rebuild": ("facever gallery rebuild GALLERY --storage float16",),
    "gallery export": ("facever gallery export GALLERY EXPORT",),
    "gallery import": ("facever gallery import GALLERY EXPORT",),
    "gallery migrate": ("facever gallery migrate GALLERY --model NEW_RUN",),
    "gallery accept-equivalent": ("facever gallery accept-equivalent GALLERY model.onnx",),
    "gallery tune": ("facever gallery tune GALLERY --fpir 0.1 --share 0.3",),
    "serve": (
        "facever serve GALLERY --model sface",
        "facever serve --tokens tokens.json --new-token search --token-name door",
    ),
    "models list": ("facever models list",),
    "models show": ("facever models show sface",),
    "models get": ("facever models get sface",),
    "models add": ("facever models add model.onnx --like insightface --out mine.onnx",),
    "export": ("facever export RUN --out model.onnx --check-images DATA",),
    "verify": ("facever verify RUN a.jpg b.jpg", "facever verify sface a.jpg b.jpg --far 1e-3"),
    "figure features": ("facever figure features bakeoff_mnist --out features.html",),
    "figure prototypes": ("facever figure prototypes RUN --out prototypes.html",),
    "figure rbf": ("facever figure rbf --gamma 1 2 4 8 --identities 1000 --out rbf.png",),
    "figure keypoints": ("facever figure keypoints RUN FACES --out keypoints.html",),
    "report": (
        "facever report EMBEDDINGS --out report.html",
        "facever report EMBEDDINGS OTHERS --out compared.html",
    ),
    "card": ("facever card RUN --licence apache-2.0 --group camera",),
    "heads": ("facever heads", "facever heads normface"),
    "config": ("facever config", "facever config optimizer.lr"),
    "doctor": ("facever doctor",),
    "recipes": ("facever recipes",),
}
"""Words of a verb -> its examples, commands as they are typed."""


def add_examples(command: Any, words: str) -> None:
    """Let the help of a command, and of those below it, end with their examples.

    Args:
        command: A command or group of typer.
        words: How it is called, without "facever".
    """
    for name, inner in getattr(command, "commands", {}).items():
        add_examples(inner, f"{words} {name}")
    if words in EXAMPLES:  # \b: the lines stay as they are
        command.epilog = "\n".join(["\b", "Examples:", *(f"  {one}" for one in EXAMPLES[words])])
