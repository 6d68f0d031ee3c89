"""Quickstart on a small data set: train, embed, enroll, search, verify, evaluate, report."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from facever.config import parse
from facever.core.console import duration, say
from facever.core.json_files import write_json
from facever.data.manifest import Manifest
from facever.data.sources import fallback
from facever.data.split import split
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import ConfigError
from facever.gallery.answers import SearchResult, Verification
from facever.models.embedder import ModelConfig
from facever.models.loading import load_model
from facever.operating_point import OperatingPoint
from facever.quickstart.photos import photos_folder, try_photos
from facever.quickstart.result import Quickstart
from facever.render.numbers import score
from facever.render.page import write_report
from facever.report.build import from_run
from facever.report.examples import SearchExample, VerificationExample, examples_section
from facever.report.faces import image_of, portraits
from facever.report.measured import measure_embeddings
from facever.studies.budget import training_seconds
from facever.studies.trial_gallery import (
    Probes,
    SearchThreshold,
    choose_probes,
    make_gallery,
    pair_of,
    rates,
    search_threshold,
)
from facever.training.config import TrainConfig
from facever.training.train import train

MODEL = {"backbone": "resnet10t", "embedding_size": 256, "preprocessing": {"size": (64, 64)}}
FARS = (1e-2, 1e-3)  # not the default ones: few people support no smaller one
SHARES = {"train": 0.6, "development": 0.15, "test": 0.25}

_TRAINING_SHARE = 0.7  # share of the minutes for training; the rest is for all later steps
_LOADING_SECONDS = 2.5e-4  # per image and core, in addition to the time of the model
_LEAST_EPOCHS, _MOST_EPOCHS = 5, 60
_MOST_TEST_IMAGES = 5000
_PER_PERSON = 5
_EXAMPLES = 6


def quickstart(
    folder: str | Path,
    minutes: float = 3.0,
    data: str | Path | None = None,
    photos: str | Path | None = None,
) -> Quickstart:
    """Run all steps on the available faces.

    Each step calls the same functions as the separate commands. The people who are embedded,
    enrolled and tested are not used for training or selection.

    Args:
        folder: Output folder; it must not exist or be empty.
        minutes: Approximate total time; training uses most of it.
        data: The `--data` option: a folder of data sets, or of images.
        photos: A folder of photos for a public model, in the last step; by default the raw sample
            of $FACEVER_DATA, if it exists.

    Raises:
        ConfigError: `folder` is not empty, or `minutes` is not positive.
        DataError: There are too few people.
    """
    if minutes <= 0:
        raise ConfigError(f"--minutes {minutes:g}: it must be more than 0")
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} exists and is not an empty folder: choose another --out")
    started = time.monotonic()
    own_photos = photos_folder(None if photos is None else Path(photos))
    parts = divide(fallback(data))
    model = parse(ModelConfig, MODEL)
    config = plan(parts, model, minutes, folder / "faces.csv")
    folder.mkdir(parents=True, exist_ok=True)
    parts.save(folder / "faces.csv")
    run = train(config, folder / "run")

    say("embedding people who were not used for training")
    extractor = load_model(run.path)
    embeddings = extractor.extract(parts.where(subset="test"), folder / "embeddings", photos=False)
    measured = measure_embeddings(embeddings, far=FARS)
    result = measured.verification
    write_json(folder / "evaluation.json", result.to_dict())

    say("creating a gallery: one image of each person with two or more, the rest are probes")
    probes = choose_probes(embeddings)
    point = extractor.operating_point
    development = extractor.extract(
        parts.where(subset="development"), folder / "development", photos=False
    )
    people = len(set(probes.enrolled.identities))
    searching = search_threshold(development, people)
    if searching.point is None:
        say(f"searches rank but do not decide: {searching.reason}")
    with make_gallery(
        folder / "gallery", extractor, probes.enrolled, point, searching.point
    ) as gallery:
        found = gallery.search(probes.mated, k=3)
        strangers = gallery.search(probes.non_mated, k=3) if len(probes.non_mated) else None
        me, other = pair_of(probes)
        genuine = gallery.verify(probes.mated.select([0]), me)
        impostor = gallery.verify(probes.mated.select([0]), other)

    faces = Faces(probes)
    section = examples_section(
        faces.searches(found, strangers),
        [faces.verification(genuine), faces.verification(impostor)],
        rule=_rule(point, searching),
    )
    tried, sections = None, [section]
    if own_photos is not None:
        tried, shown = try_photos(own_photos, folder)
        sections.append(shown)
    report = folder / "report.html"
    write_report(from_run(run.path, measured, extra=sections), report)
    return Quickstart(
        folder=folder,
        run=run.path,
        embeddings=folder / "embeddings",
        gallery=folder / "gallery",
        report=report,
        result=result,
        searches=rates(probes, found, strangers),
        people=people,
        searching=searching,
        genuine=genuine,
        impostor=impostor,
        photos=tried,
        seconds=time.monotonic() - started,
        commands=_next_commands(folder, embeddings),
    )


def divide(manifest: Manifest) -> Manifest:
    """Return the images with a column `subset`: train, development or test, no person in two.

    LFW is split by View 1; any other data set is split by identity. Development and test keep
    at most five images per person.
    """
    manifest.require_identities(8)
    own = set(manifest.frame["subset"]) if "subset" in manifest.frame else set()
    if {"train", "held_out", "test"} <= own:
        frame = manifest.frame[manifest.frame["subset"].isin(["train", "held_out", "test"])]
        frame = frame.assign(subset=frame["subset"].replace("held_out", "development"))
        parts = Manifest.from_frame(frame, manifest.root, manifest.dataset)
    else:
        parts = split(manifest, SHARES, stratify=True)
    frame = parts.frame
    few = frame.groupby("identity").cumcount() < _PER_PERSON
    frame = frame[few | (frame["subset"] == "train")]
    test = frame.index[frame["subset"] == "test"]
    frame = frame.drop(index=test[_MOST_TEST_IMAGES:])
    return Manifest.from_frame(frame, parts.root, parts.dataset)


def plan(parts: Manifest, model: ModelConfig, minutes: float, listed: Path) -> TrainConfig:
    """Return a training configuration for the minutes, based on the measured speed."""
    images = len(parts.where(subset="train"))
    batch = min(128, max(8, images // 4))
    seconds = training_seconds(model, batch)
    precision = min(seconds, key=lambda name: seconds[name])
    each = seconds[precision] + _LOADING_SECONDS
    say(
        f"measured speed: {1 / seconds['fp32']:.0f} images/s in fp32, {1 / seconds['bf16']:.0f} in "
        f"bf16; training in {precision}"
    )
    affordable = _TRAINING_SHARE * 60 * minutes / each
    epochs = int(np.clip(affordable / images, _LEAST_EPOCHS, _MOST_EPOCHS))
    if epochs * images > 1.5 * affordable:
        say(
            f"{epochs} epochs, the minimum, take about "
            f"{duration(epochs * images * each)} on this machine"
        )
    return parse(
        TrainConfig,
        {
            "data": {
                "root": str(listed),
                "train": {"subset": "train"},
                "development": {"subset": "development"},
            },
            "model": model.model_dump(),
            "heads": [{"name": "cosface", "scale": 24.0}],
            "batch": {"size": batch},
            "epochs": epochs,
            "schedule": {"warmup_epochs": min(2, epochs / 5)},
            "precision": precision,
            "ema_decay": 0.99,
            "operating_point_far": 1e-2,
        },
    )


class Faces:
    """The gallery's answers with their pictures, for the report."""

    def __init__(self, probes: Probes) -> None:
        self._probes = probes
        self._rows = {person: row for row, person in enumerate(probes.enrolled.identities.tolist())}
        self._portrait = portraits(probes.enrolled, thumbnails=True)

    def searches(self, found: SearchResult, strangers: SearchResult | None) -> list[SearchExample]:
        """Return the first mated probes, one per person, and one non-mated probe."""
        mated = self._probes.mated
        first = pd.Series(mated.identities).drop_duplicates().index[: _EXAMPLES - 1]
        examples = [self._search(mated, row, found, enrolled=True) for row in first]
        if strangers is not None:
            examples.append(self._search(self._probes.non_mated, 0, strangers, enrolled=False))
        return examples

    def _search(
        self, probes: EmbeddingSet, row: int, result: SearchResult, enrolled: bool
    ) -> SearchExample:
        candidates = [
            replace(self._portrait(self._rows[one.person]), score=score(one.score))
            for one in result[row].candidates
        ]
        probe = portraits(probes, thumbnails=True)(row)
        return SearchExample(probe, candidates, result.operating_point, enrolled)

    def verification(self, answer: Verification) -> VerificationExample:
        """Return the verification of the first mated probe against a person."""
        scored = answer.scores[0]
        assert scored is not None  # probes are acquired images
        return VerificationExample(
            portraits(self._probes.mated, thumbnails=True)(0),
            self._portrait(self._rows[answer.person]),
            scored,
            answer.same[0] if answer.same is not None else None,
        )


def _rule(verifying: OperatingPoint | None, searching: SearchThreshold) -> str:
    if verifying is None:
        said = "Verification: no threshold, there are too few development people. "
    else:
        said = (
            f"Verification: same person if the score is above {verifying.threshold:.3f}, the "
            f"threshold for FMR {verifying.target_rate:g} on development people of "
            f"{verifying.dataset}. "
        )
    point = searching.point
    if point is None:
        return f"{said}Search: ranking without decision, {searching.reason}."
    return (
        f"{said}Search: a candidate is accepted if its score is above {point.threshold:.3f}, the "
        f"threshold for FPIR {point.target_rate:g} in a gallery of {point.gallery_size:,} "
        "development people."
    )


def _next_commands(folder: Path, embeddings: EmbeddingSet) -> list[str]:
    identities = embeddings.identities.tolist()
    pair = next(
        (row, row + 1)
        for row in range(len(identities) - 1)
        if identities[row] == identities[row + 1]
    )
    one, other = (image_of(embeddings, row) for row in pair)
    return [
        f"facever verify {folder}/run {one} {other}",
        f"facever gallery search {folder}/gallery {one} --model {folder}/run",
        f"facever evaluate verification {folder}/embeddings --far 1e-2 1e-3",
    ]
