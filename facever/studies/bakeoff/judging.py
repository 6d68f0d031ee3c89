"""Evaluation of the models of a bake-off: test images, threshold and figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facever.core.run_folder import RunFolder
from facever.data.manifest import Manifest
from facever.data.pairs import PairList, read_pairs
from facever.data.sources import data_roots
from facever.deprecated import Former, former_names
from facever.embeddings.embedding_set import META, EmbeddingSet
from facever.embeddings.meta import EmbeddingMeta
from facever.errors import ConfigError, DataError, EvaluationError, unknown
from facever.evaluation.inputs import find_rows
from facever.evaluation.one_to_one.accuracy import best_threshold
from facever.evaluation.one_to_one.populations import (
    accuracy_over_people,
    balanced_accuracy,
    tar_over_people,
)
from facever.evaluation.protocols.all_pairs import all_pairs
from facever.evaluation.protocols.pair_list import score_pairs
from facever.evaluation.scoring.similarity import Doubles
from facever.evaluation.scoring.streaming import StreamedTrials, stream
from facever.evaluation.scoring.trials import Trials, budget, check_fars, most_wanted, needed
from facever.models.loading import is_onnx, load_model
from facever.render.numbers import far_text
from facever.training.config import TrainConfig
from facever.training.selection.selection import select

__getattr__ = former_names(
    __name__, {"Judged": Former(f"{__name__}:RunFigures", f"{__name__}.RunFigures")}
)

LFW_VIEW1 = "lfw-view1"
ACCURACY = "accuracy"


@dataclass(frozen=True)
class TestPart:
    """The test part of a bake-off.

    Attributes:
        words: The words of the user.
        manifest: The images, of people that no run uses for training or selection.
        pairs: The trials, or None for all pairs of the images.
    """

    words: tuple[str, ...]
    manifest: Manifest
    pairs: PairList | None

    @property
    def name(self) -> str:
        """Name in results."""
        return " ".join(self.words)


@dataclass(frozen=True)
class RunFigures:
    """The figures of one model on the test part.

    Attributes:
        metric: Similarity of its embeddings.
        figures: By name: "accuracy", and "tar@1e-3" and so on for FARs that the trials support.
        draws: The same figures in drawn populations, float64 [draws] each.
        per_person: Number of impostor trials of each person; comparable runs have equal numbers.
        genuine, impostor: Numbers of trials.
        threshold: Threshold of the accuracy.
        refused: By FAR that the trials cannot support: the impostor trials that it needs.
    """

    metric: str
    figures: dict[str, float]
    draws: dict[str, Doubles]
    per_person: Doubles
    genuine: int
    impostor: int
    threshold: float
    refused: dict[float, int]


def test_part(
    manifest: Manifest, words: Sequence[str], known: set[str], data: str | Path | None
) -> TestPart:
    """Return the test images and trials.

    Args:
        manifest: The complete data set.
        words: Conditions "COLUMN=VALUE[,VALUE]", which must all hold, and at most one pair list:
            a file, or "lfw-view1" for LFW's pairsDevTest.txt.
        known: All people that the runs use for training or selection.
        data: The `--data` option.

    Raises:
        ConfigError: There is no word, or there are several pair lists.
        DataError: No image matches a condition, a list is missing, or test people are used for
            training or selection.
    """
    if not words:
        raise ConfigError(
            "no test images: give --test COLUMN=VALUE (such as --test subset=test), a pair list, "
            f"or {LFW_VIEW1}"
        )
    lists = [word for word in words if "=" not in word]
    if len(lists) > 1:
        raise ConfigError(f"--test has {len(lists)} pair lists ({', '.join(lists)}): give one")
    chosen = manifest
    for word in words:
        if word not in lists:
            chosen = _where(chosen, word)
    pairs = _read_list(lists[0], manifest, data) if lists else None
    strangers = ~chosen.frame["identity"].isin(known).to_numpy()
    if pairs is not None and len(words) == 1:
        chosen = chosen.select(strangers)
    elif not strangers.all():
        shared = sorted(set(chosen.frame["identity"][~strangers]))
        raise DataError(
            f"{len(shared)} people of --test {' '.join(words)} are used for training or selection "
            f"(first: {shared[0]}): choose data.train and --test without common people"
        )
    if pairs is not None:
        _check_pairs(pairs, chosen)
    return TestPart(tuple(words), chosen.require_identities(2), pairs)


def known_people(manifest: Manifest, config: TrainConfig) -> set[str]:
    """Return all people that a run of this configuration uses for training or selection."""
    train, development = select(manifest, config.data, config.batch, config.seed)
    return {*train.identities, *(development.identities if development is not None else ())}


def judge(
    model: str | Path,
    kept: RunFolder,
    config: TrainConfig,
    manifest: Manifest,
    test: TestPart,
    fars: Sequence[float],
) -> RunFigures:
    """Embed the test images with a model and measure the figures.

    The threshold of the accuracy is the best on the configuration's development people, else on its
    training people; never on test people.

    Args:
        model: A finished run, or any other model that `load_model` accepts.
        kept: Folder for the embeddings of the model.
        config: Configuration of the run, or of the runs that a reference is compared with.
        manifest: The complete data set.
        test: The test part.
        fars: False accept rates at which TAR is measured.
    """
    embeddings = _embed(model, config, test.manifest, kept.embeddings)
    fars = check_fars(fars)
    trials: Trials
    if test.pairs is None:
        pairs, _ = all_pairs([embeddings], embeddings.meta.metric)
        trials = stream(pairs, most_wanted(fars, pairs.impostor))
    else:
        trials = score_pairs(embeddings, test.pairs, embeddings.meta.metric).trials
    if trials.dyads is None:
        raise EvaluationError("a bake-off needs the identities of both images of each trial")
    threshold = best_threshold(_threshold_trials(model, kept, config, manifest))
    figures = {ACCURACY: balanced_accuracy(trials, threshold)}
    draws = {ACCURACY: accuracy_over_people(trials, threshold)}
    refused = {far: needed(far) for far in fars if budget(far, trials.impostor) < 1}
    for far in [far for far in fars if far not in refused]:
        threshold_at = trials.cut(budget(far, trials.impostor))
        figures[tar_name(far)] = trials.true_accepts(threshold_at) / trials.genuine
        draws[tar_name(far)] = tar_over_people(trials, far)
    return RunFigures(
        embeddings.meta.metric,
        figures,
        draws,
        trials.dyads.per_person,
        trials.genuine,
        trials.impostor,
        threshold,
        refused,
    )


def tar_name(far: float) -> str:
    """Return the name of TAR at a FAR, such as "tar@1e-3"."""
    return f"tar@{far_text(far)}"


def _check_pairs(pairs: PairList, manifest: Manifest) -> None:
    """Raise if pairs name images that are not in the manifest."""
    size = len(manifest)
    rows = EmbeddingSet(np.empty((size, 0), np.float32), manifest.frame, EmbeddingMeta("", 0))
    try:
        find_rows(rows, [*pairs.frame["a"], *pairs.frame["b"]], pairs.name)
    except EvaluationError as error:
        raise DataError(
            f"{str(error).partition(',')[0]}, which is not a test image: it is missing or "
            "ambiguous in the data, or its person is used for training or selection"
        ) from error


def _threshold_trials(
    model: str | Path, kept: RunFolder, config: TrainConfig, manifest: Manifest
) -> StreamedTrials:
    train, development = select(manifest, config.data, config.batch, config.seed)
    people = development or train.at_most(config.data.development_per_identity)
    held = _embed(model, config, people, kept.development)
    pairs, _ = all_pairs([held], held.meta.metric)
    return StreamedTrials(pairs, 1)


def _embed(model: str | Path, config: TrainConfig, manifest: Manifest, out: Path) -> EmbeddingSet:
    """Return the embeddings of a manifest; existing embeddings are reused."""
    if (out / META).is_file():
        held = EmbeddingSet.load(out)
        same = held.rows["path"].tolist() == manifest.frame["path"].tolist()
        if same and held.rows["identity"].tolist() == manifest.frame["identity"].tolist():
            return held
    loaded = load_model(model, device="cpu" if is_onnx(model) else config.device)
    return loaded.extract(
        manifest,
        out,
        workers=config.workers,
        on_error=config.data.on_error,
        overwrite=True,
        photos=False,  # the same choice as in training
    )


def _where(manifest: Manifest, condition: str) -> Manifest:
    column, _, values = condition.partition("=")
    if column not in manifest.frame:
        raise DataError(f"{manifest.dataset}: {unknown('column', column, manifest.frame.columns)}")
    wanted = values.split(",")
    held = manifest.frame[column].astype(str)
    missing = [value for value in wanted if not (held == value).any()]
    if missing:
        raise DataError(f"{manifest.dataset}: no image has {column} {', '.join(missing)}")
    return manifest.select(np.flatnonzero(held.isin(wanted)))


def _read_list(word: str, manifest: Manifest, data: str | Path | None) -> PairList:
    if word != LFW_VIEW1:
        return read_pairs(Path(word))
    folders = [manifest.root, *(root / "lfw" for root in data_roots(data))]
    files = [folder / "protocol" / "pairsDevTest.txt" for folder in folders]
    found = next((file for file in files if file.is_file()), None)
    if found is None:
        raise DataError(f"LFW's list pairsDevTest.txt is not in {files[0].parent}")
    return read_pairs(found)
