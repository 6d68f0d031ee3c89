"""What is asked for: which embeddings are judged, on which trials, by which scores."""

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
    """The trials by which an embedding set is judged.

    "cfp-ff" and "cfp-fp" are CFP's ten folds, frontal against frontal and frontal against profile.

    Args:
        embeddings: Images or templates.
        protocol: One of `PROTOCOLS`; by default "pairs" where a list is given, else "all-pairs".
        pairs: A pair list or its file; for the protocols of LFW and CFP in place of the official
            list.
        similarity: "cosine", "euclidean" or "dot"; by default the metric of the model's head.
        exclude: Columns of the rows; a pair that agrees in any of them is no trial (all-pairs).
        cohort: Other people, to normalise the scores by.
        allow_overlap: Score LFW's lists although the model was trained on their people.
        data: Where official lists are looked for when they are not beside the images.
        against: A gallery, by the same model, that the embeddings are probes for (all-pairs).

    Raises:
        EvaluationError: An unknown protocol or similarity, or ones that do not go together.
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
            raise EvaluationError("all-pairs takes no pair list: omit --pairs or the protocol")
        if self.name == "pairs" and self.pairs is None:
            raise EvaluationError("the protocol pairs needs a pair list: --pairs FILE")
        if self.name != ALL_PAIRS and self.exclude:
            raise EvaluationError(f"the protocol {self.name} takes no columns to exclude")
        if self.name != ALL_PAIRS and self.against is not None:
            raise EvaluationError(f"the protocol {self.name} takes no second set")
        if kind_of(self.embeddings) == "1:1-template" and self.metric != "cosine":
            raise EvaluationError("templates are unit vectors: compare them by cosine")
        if self.against is not None:
            check_comparable(self.embeddings, self.against)

    @property
    def name(self) -> str:
        """The protocol."""
        return self.protocol or (ALL_PAIRS if self.pairs is None else "pairs")

    @property
    def metric(self) -> Similarity:
        """The similarity that scores are."""
        return named_similarity(self.similarity or self.embeddings.meta.metric)

    @property
    def sides(self) -> list[EmbeddingSet]:
        """The sets that all pairs are made of, one or two."""
        return [self.embeddings] if self.against is None else [self.embeddings, self.against]

    def read_pairs(self) -> PairList:
        """Return the list given, or else the official one.

        Raises:
            EvaluationError: The official one is not found.
        """
        if self.pairs is not None:
            return self.pairs if isinstance(self.pairs, PairList) else read_pairs(self.pairs)
        official = _OFFICIAL[self.name]
        found = self.find(official)
        if found is None:
            raise EvaluationError(
                f"the official list {official} is neither beside the images nor in a data folder: "
                "give --pairs FILE or --data ROOT"
            )
        return read_pairs(found)

    def find(self, official: str) -> Path | None:
        """Return an official list or folder of lists beside the data, such as "protocol/pairs.txt".

        It is looked for beside the list given, beside the images, and in the data folders.
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
