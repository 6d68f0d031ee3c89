"""The measurements of a report on an embedding set, and their sections."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from facever.deprecated import Former, former_names
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import EvaluationError
from facever.evaluation.defaults import DEFAULT_FARS
from facever.evaluation.one_to_many.retrieval import retrieval
from facever.evaluation.one_to_many.retrieved import RetrievalResult
from facever.evaluation.one_to_one.calibration import CalibrationResult, calibrate
from facever.evaluation.one_to_one.verification import verification
from facever.evaluation.one_to_one.verified import VerificationResult
from facever.render.blocks import Note, Section, illustrated
from facever.render.values import Record
from facever.report import accuracy
from facever.report.faces import portraits

__getattr__ = former_names(
    __name__,
    {"Measured": Former(f"{__name__}:MeasuredEmbeddings", f"{__name__}.MeasuredEmbeddings")},
)


@dataclass(frozen=True)
class MeasuredEmbeddings(Record):
    """An embedding set and its results.

    Attributes:
        embeddings: The measured rows.
        verification: On all pairs, or by a protocol.
        calibration: None if it was not requested or is not possible.
        retrieval: None if the rows are not divided into queries and a gallery.
        notes: Measurements that were not possible, with the reason.
    """

    embeddings: EmbeddingSet
    verification: VerificationResult
    calibration: CalibrationResult | None = None
    retrieval: RetrievalResult | None = None
    notes: Sequence[str] = field(default_factory=list)

    json_keys = "verification retrieval calibration notes"

    def sections(self, thumbnails: bool = True) -> list[Section]:
        """Return the sections of the results."""
        found = accuracy.sections(self.verification, self.embeddings, thumbnails)
        if self.retrieval is not None:
            found.append(ranking(self.retrieval, self.embeddings, thumbnails))
        if self.calibration is not None:
            found.append(warned(self.calibration))
        if self.notes:
            notes = [Note(text, warning=True) for text in self.notes]
            found.append(Section("unmeasured", "Not measured", notes))
        return found


def ranking(result: RetrievalResult, embeddings: EmbeddingSet, thumbnails: bool) -> Section:
    """Return the section of a ranking, with the wrong queries."""
    section = warned(result)
    lead = "Rank of the correct person in the gallery, over all queries."
    if result.overlap is not None and result.overlap.brief:
        lead += f" Note: {result.overlap.brief}."
    wrong = [result.wrong_at_first()] if result.first_wrong else []
    shown = replace(section, lead=lead, blocks=[*section.blocks, *wrong])
    return illustrated(shown, portraits(embeddings, thumbnails))


def warned(result: RetrievalResult | CalibrationResult) -> Section:
    """Return the one section of a result, with its warnings."""
    (section,) = result.describe()
    warnings = [Note(text, warning=True) for text in result.warnings]
    return replace(section, blocks=[*section.blocks, *warnings])


def measure_embeddings(
    embeddings: EmbeddingSet,
    *,
    far: Sequence[float] = DEFAULT_FARS,
    groups: Sequence[str] = (),
    camera: str | None = None,
) -> MeasuredEmbeddings:
    """Measure verification in detail, calibration, and retrieval if there are queries.

    Args:
        embeddings: Images or templates. Rows of the subsets `query` and `gallery` are ranked.
        far: False accept rates at which TAR is measured.
        groups: Columns; FMR and FNMR are counted for each of their values.
        camera: Column of the cross-camera rule of retrieval; by default `camera`, if the rows
            have it.

    Raises:
        EvaluationError: The trials cannot be measured, or a column does not exist.
    """
    rows, notes = embeddings.rows, []
    calibration, ranked = None, None
    verified = verification(embeddings, far=far, groups=groups, detail=True)
    try:
        calibration = calibrate(embeddings)
    except EvaluationError as error:
        notes.append(f"Calibration: {error}.")
    if "subset" in rows and {"query", "gallery"} <= set(rows["subset"].dropna()):
        rule = camera or ("camera" if "camera" in rows and rows["camera"].notna().all() else None)
        ranked = retrieval(embeddings, camera=rule)
    elif camera is not None:
        raise EvaluationError(
            f"--camera {camera} applies to retrieval only: it needs rows of the subsets query and "
            "gallery"
        )
    return MeasuredEmbeddings(embeddings, verified, calibration, ranked, notes)
