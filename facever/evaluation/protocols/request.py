"""Requests: the embeddings, trials and scores of an evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from facever.data.pairs import PairList, read_pairs
from facever.data.sources import data_roots
from facever.embeddings.embedding_set import EmbeddingSet
from facever.embeddings.similarities import Similarity, named_similarity
from facever.errors import EvaluationError, unknown
from facever.evaluation.inputs import kind_of
from facever.evaluation.scoring.normalisation import Cohort
from facever.evaluation.two_sets import check_comparable

ALL_PAIRS = "all-pairs"
LISTED = ("pairs", "lfw-view1", "lfw-view2", "cfp-ff", "cfp-fp")
PROTOCOLS = (ALL_PAIRS, *LISTED)
_OFFICIAL = {
    "lfw-view1": "protocol/pairsDevTest.txt",
    "lfw-view2": "protocol/pairs.txt",
    "cfp-ff": "Protocol/Split/FF",
    "cfp-fp": "Protocol/Split/FP",
}


@dataclass(frozen=True)
class Request:
    """A request for the trials of an embedding set.

    "cfp-ff" and "cfp-fp" are CFP's ten folds, frontal with frontal and frontal with profile.

    Args:
        embeddings: Images or templates.
        protocol: One of `PROTOCOLS`; by default "pairs" if a list is given, else "all-pairs".
        pairs: A pair list or its file; for the protocols of LFW and CFP it replaces the official
            list.
        similarity: "cosine", "euclidean" or "dot"; by default the metric of the model's head.
        exclude: Columns of the rows; pairs with equal values in any of them are not trials
            (all-pairs).
        cohort: Other people for score normalisation.
        allow_overlap: Evaluate LFW's lists even if the model was trained on their people.
        data: Folder with the official lists, if they are not next to the images.
        against: A second set (gallery) by the same model; the embeddings are the probes
            (all-pairs).

    Raises:
        EvaluationError: A protocol or similarity is unknown, or options cannot be combined.
    """

    embeddings: EmbeddingSet
    protocol: str | None = None
    pairs: PairList | str | Path | None = None
    similarity: str | None = None
    exclude: Sequence[str] = ()
    cohort: Cohort | None = None
    allow_overlap: bool = False
    data: str | Path | None = None
    against: EmbeddingSet | None = None

    def __post_init__(self) -> None:
        if self.name not in PROTOCOLS:
            raise EvaluationError(unknown("protocol", self.name, PROTOCOLS))
        if self.name == ALL_PAIRS and self.pairs is not None:
            raise EvaluationError(
                "the protocol all-pairs has no pair list: omit --pairs or --protocol"
            )
        if self.name == "pairs" and self.pairs is None:
            raise EvaluationError("the protocol pairs needs a pair list: give --pairs FILE")
        if self.name != ALL_PAIRS and self.exclude:
            raise EvaluationError(f"the protocol {self.name} does not support exclude: omit it")
        if self.name != ALL_PAIRS and self.against is not None:
            raise EvaluationError(
                f"the protocol {self.name} does not support a second set: omit it"
            )
        if kind_of(self.embeddings) == "1:1-template" and self.metric != "cosine":
            raise EvaluationError("templates are unit vectors: compare them by cosine")
        if self.against is not None:
            check_comparable(self.embeddings, self.against)

    @property
    def name(self) -> str:
        """Name of the protocol."""
        return self.protocol or (ALL_PAIRS if self.pairs is None else "pairs")

    @property
    def metric(self) -> Similarity:
        """Similarity of the scores."""
        return named_similarity(self.similarity or self.embeddings.meta.metric)

    @property
    def sides(self) -> list[EmbeddingSet]:
        """The one or two sets of all pairs."""
        return [self.embeddings] if self.against is None else [self.embeddings, self.against]

    def read_pairs(self) -> PairList:
        """Return the given list, else the official list.

        Raises:
            EvaluationError: The official list is not found.
        """
        if self.pairs is not None:
            return self.pairs if isinstance(self.pairs, PairList) else read_pairs(self.pairs)
        official = _OFFICIAL[self.name]
        found = self.find(official)
        if found is None:
            raise EvaluationError(
                f"the official list {official} is neither next to the images nor in a data folder: "
                "give --pairs FILE or --data ROOT"
            )
        return read_pairs(found)

    def find(self, official: str) -> Path | None:
        """Return the path of an official list or folder of lists, such as "protocol/pairs.txt".

        It is searched for next to the given list, next to the images, and in the data folders.
        """
        places = (
            [Path(self.pairs).parent / Path(official).name]
            if isinstance(self.pairs, str | Path)
            else []
        )
        if self.embeddings.root is not None:
            places.append(Path(self.embeddings.root) / official)
        for root in data_roots(self.data):
            places += [root / official, root / "lfw" / official, root / "cfp" / official]
        return next((place for place in places if place.exists()), None)
