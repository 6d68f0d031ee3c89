"""What the arms of an experiment reached on test people, and how arms are compared.

A record is one (seed, arm), plain JSON:

    figures  by name, such as "mAP": the mean over the test
    people   whose query each query was, [Q]; or how many test people there are
    each     by figure: what each query reached, [Q]; of retrieval
    draws    by figure: its value in drawn populations, [draws]; of verification
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facever.data.sources import load as load_data
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import EvaluationError
from facever.evaluation.one_to_many.by_person import paired_intervals
from facever.evaluation.one_to_many.retrieval import retrieval
from facever.evaluation.one_to_one.populations import tar_over_people
from facever.evaluation.one_to_one.verification import verification
from facever.evaluation.protocols.all_pairs import all_pairs
from facever.evaluation.scoring.streaming import stream
from facever.evaluation.scoring.trials import most_wanted
from facever.evaluation.statistics.paired import Difference, over_people, over_seeds
from facever.models.loading import load_model
from facever.operating_point import Interval
from facever.render.numbers import far_text
from facever.training.config import TrainConfig

Record = Mapping[str, Any]

FARS = (1e-2, 1e-3)


def judge(run: Path, config: TrainConfig) -> dict[str, Any]:
    """Return what a run reached on people whom it was not trained on.

    Market-1501: queries in the gallery, positives of the query's own camera left out. Else all
    pairs of the rows with subset "test".
    """
    manifest = load_data(config.data.root, None, config.data.layout)
    ranked = config.data.layout == "market1501"
    part = manifest.where(subset=["query", "gallery"] if ranked else "test")
    extractor = load_model(run, device=config.device)
    out = run / "embeddings"
    embeddings = extractor.extract(part, out, workers=config.workers, overwrite=True)
    return judge_retrieval(embeddings) if ranked else judge_verification(embeddings)


def judge_retrieval(embeddings: EmbeddingSet) -> dict[str, Any]:
    """Return rank-1 and mAP (plain), and both for each query."""
    found = retrieval(embeddings, camera="camera")
    each = {"rank-1": (found.each.first == 1).astype(float), "mAP": found.each.plain}
    return {
        "figures": {name: float(values.mean()) for name, values in each.items()},
        "people": found.each.people.tolist(),
        "each": {name: values.tolist() for name, values in each.items()},
    }


def judge_verification(embeddings: EmbeddingSet, fars: Sequence[float] = FARS) -> dict[str, Any]:
    """Return TAR at each FAR and the AUC of all pairs; TAR in drawn populations too."""
    whole = verification(embeddings, far=fars)
    pairs, _ = all_pairs([embeddings], embeddings.meta.metric)
    trials = stream(pairs, most_wanted(fars, pairs.impostor))
    names = {f"TAR at FAR {far_text(far)}": far for far in fars}
    figures = {name: whole.at(far).tar for name, far in names.items()}
    return {
        "figures": {**figures, "AUC": whole.auc.value},
        "people": len(np.unique(embeddings.identities)),
        "draws": {name: tar_over_people(trials, far).tolist() for name, far in names.items()},
    }


def difference_over_seeds(
    base: Mapping[int, Record], other: Mapping[int, Record], figure: str
) -> Difference | None:
    """Return other minus base over the seeds that both have; None for fewer than two."""
    seeds = sorted(base.keys() & other.keys())
    values = [[records[seed]["figures"][figure] for seed in seeds] for records in (base, other)]
    return over_seeds(*values)


def interval_over_people(
    base: Mapping[int, Record], other: Mapping[int, Record], figure: str
) -> Interval | None:
    """Return the interval of other minus base, means over common seeds, with test people drawn.

    None without common seeds, or for a figure without values for people (AUC).

    Raises:
        EvaluationError: The records are of different test people.
    """
    seeds = sorted(base.keys() & other.keys())
    pairs = [(base[seed], other[seed]) for seed in seeds]
    if any(one["people"] != two["people"] for one, two in pairs):
        raise EvaluationError("the arms were judged on different people: judge both on the same")
    kind = next((k for k in ("each", "draws") if pairs and figure in pairs[0][0].get(k, {})), None)
    if kind is None:
        return None
    values = [np.subtract(two[kind][figure], one[kind][figure]) for one, two in pairs]
    mean, people = np.mean(values, axis=0), pairs[0][0]["people"]
    if kind == "each":
        return paired_intervals(mean[:, None], np.asarray(people))[0]
    estimate = np.mean([two["figures"][figure] - one["figures"][figure] for one, two in pairs])
    return over_people(mean, float(estimate), people).interval
