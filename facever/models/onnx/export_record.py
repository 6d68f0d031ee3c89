"""What an exported file keeps of the model that it was made from, and what the export cost."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ExportRecord:
    """The part of a card that `facever export` writes.

    Attributes:
        model_hash: Of the model that was exported (`facever.models.model_hash`); the SHA-256 of an
            ONNX file that was quantised.
        fingerprint: Of the embedding space of that model, with the flip of this file.
        preprocessing: "inside": the file takes uint8 pixels and gives unit vectors; "outside": it
            takes numbers to which mean and standard deviation are applied, and gives vectors whose
            length is the model's.
        opset: Of the standard operators.
        created: Time of the export, ISO 8601 in UTC.
        versions: Versions of the packages that wrote the file.
        config: The model's configuration (`ModelConfig`), for information.
        cost: What was measured at the export; see `facever.deployment.cost.Cost`.
        check: The paired comparison of both models on labelled images; empty without one.
        people: Whom the model was trained on: data sets with their numbers of people, and the
            people's codes (`facever.embeddings.coded_people`), if these were kept.
        operating_points: As JSON values, with the fingerprint of this file. Only an fp32 file has
            some: its scores are those of the model that they were measured with.
    """

    model_hash: str
    fingerprint: str
    preprocessing: str
    opset: int
    created: str
    versions: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    cost: Mapping[str, Any] = field(default_factory=dict)
    check: Mapping[str, Any] = field(default_factory=dict)
    people: Mapping[str, Any] = field(default_factory=dict)
    operating_points: list[Mapping[str, Any]] = field(default_factory=list)

    @classmethod
    def from_values(cls, values: Any) -> Self:
        """Return the record of its JSON values; keys of later versions are ignored.

        Raises:
            TypeError, KeyError: It is damaged.
        """
        record = cls(**{one.name: values[one.name] for one in fields(cls) if one.name in values})
        texts = (record.model_hash, record.fingerprint, record.preprocessing, record.created)
        maps = (record.versions, record.config, record.cost, record.check, record.people)
        if not (
            all(isinstance(one, str) for one in texts)
            and all(isinstance(one, dict) for one in maps)
            and isinstance(record.opset, int)
            and isinstance(record.operating_points, list)
        ):
            raise TypeError("the record of the export is damaged")
        return record

    @property
    def trained_on(self) -> "pd.DataFrame | None":
        """Columns identity (codes), dataset and use; None if no people were kept."""
        from facever.embeddings.coded_people import frame_of

        return frame_of(self.people)
