"""Everything that a report measures on an embedding set, and the sections that show it."""

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
    """An embedding set and what was measured on it.

    Attributes:
        embeddings: The rows that every result speaks of.
        verification: Of all their pairs, or by a protocol.
        calibration: None where it was not asked for or cannot be made.
        retrieval: None where the rows are not divided into queries and a gallery.
        notes: What could not be measured, and why.
    """

    embeddings: EmbeddingSet
    verification: VerificationResult
    calibration: CalibrationResult | None = None
    retrieval: RetrievalResult | None = None
    notes: Sequence[str] = field(default_factory=list)

    json_keys = "verification retrieval calibration notes"

    def sections(self, thumbnails: bool = True) -> list[Section]:
        """Return the sections that show the results."""
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
    """Return the section of a ranking, with the queries that went wrong."""
    section = warned(result)
    lead = "Every query ranks the gallery; where does the right person stand?"
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
    """Measure verification in detail, calibration, and retrieval where there are queries.

    Args:
        embeddings: Images or templates. Rows of the subsets `query` and `gallery` are ranked.
        far: The false accept rates at which TAR is wanted.
        groups: Columns by whose values FMR and FNMR are counted.
        camera: The column of retrieval's cross-camera rule; by default `camera`, where the rows
            have it.

    Raises:
        EvaluationError: Trials that cannot be measured, or a column that does not exist.
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
            f"--camera {camera} is for retrieval, which needs rows of the subsets query and gallery"
        )
    return MeasuredEmbeddings(embeddings, verified, calibration, ranked, notes)
