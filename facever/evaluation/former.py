"""Former signatures of the functions of `facever.evaluate`; removed in the next version."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import ArrayLike

from facever.embeddings.template_policies import ALL
from facever.evaluation.one_to_many import identification as one_to_many
from facever.evaluation.one_to_many import retrieval as ranking
from facever.evaluation.one_to_many.identified import IdentificationResult
from facever.evaluation.one_to_many.retrieved import RetrievalResult
from facever.evaluation.one_to_one import calibration
from facever.evaluation.one_to_one import compare as comparing
from facever.evaluation.one_to_one import transfer as carrying
from facever.evaluation.one_to_one import verification as verifying
from facever.evaluation.one_to_one.calibration import CalibrationResult
from facever.evaluation.one_to_one.compare import ComparisonResult
from facever.evaluation.one_to_one.transfer import TransferResult
from facever.evaluation.one_to_one.verified import VerificationResult
from facever.operating_point import OperatingPoint

Columns = Mapping[str, ArrayLike] | None


@dataclass(frozen=True)
class Against:
    """A second set of rows; replaced by a mapping of columns."""

    vectors: ArrayLike
    identities: ArrayLike
    norms: ArrayLike | None = None
    acquired: ArrayLike | None = None
    exclude: Columns = None
    groups: Columns = None

    def columns(self) -> dict[str, ArrayLike]:
        """Return the rows as a mapping of columns."""
        return _columns(
            self.vectors, self.identities, self.norms, self.acquired, self.exclude, self.groups
        )


def verification(
    vectors: ArrayLike,
    identities: ArrayLike,
    *,
    against: Against | None = None,
    norms: ArrayLike | None = None,
    acquired: ArrayLike | None = None,
    exclude: Columns = None,
    groups: Columns = None,
    **options: Any,
) -> VerificationResult:
    """Call `facever.evaluate.verification` with arrays in its former form."""
    return verifying.verification(
        _columns(vectors, identities, norms, acquired, exclude, groups),
        against=None if against is None else against.columns(),
        exclude=list(exclude or ()),
        groups=list(groups or ()),
        **options,
    )


def identification(
    probes: ArrayLike,
    probe_identities: ArrayLike,
    gallery: ArrayLike,
    gallery_identities: ArrayLike,
    *,
    probe_acquired: ArrayLike | None = None,
    gallery_acquired: ArrayLike | None = None,
    templates: str = ALL,
    **options: Any,
) -> IdentificationResult:
    """Call `facever.evaluate.identification` with arrays in its former form.

    `templates` is the template policy of the gallery's rows.
    """
    found = one_to_many.identification(
        _columns(probes, probe_identities, acquired=probe_acquired),
        _columns(gallery, gallery_identities, acquired=gallery_acquired),
        **options,
    )
    fitted = found.calibration and replace(found.calibration, templates=templates)
    return replace(found, templates=templates, calibration=fitted)


def retrieval(
    queries: ArrayLike,
    query_identities: ArrayLike,
    gallery: ArrayLike,
    gallery_identities: ArrayLike,
    *,
    query_cameras: ArrayLike | None = None,
    gallery_cameras: ArrayLike | None = None,
    **options: Any,
) -> RetrievalResult:
    """Call `facever.evaluate.retrieval` with arrays in its former form."""
    cameras = query_cameras, gallery_cameras
    columns = [None if side is None else {"camera": side} for side in cameras]
    known = any(columns)
    return ranking.retrieval(
        _columns(queries, query_identities, exclude=columns[0]),
        against=_columns(gallery, gallery_identities, exclude=columns[1]),
        camera="camera" if known else None,
        **options,
    )


def compare(
    first: ArrayLike,
    second: ArrayLike,
    identities: ArrayLike,
    *,
    acquired: ArrayLike | None = None,
    exclude: Columns = None,
    **options: Any,
) -> ComparisonResult:
    """Call `facever.evaluate.compare` with arrays in its former form."""
    sides = [
        _columns(side, identities, acquired=acquired, exclude=exclude) for side in (first, second)
    ]
    return comparing.compare(sides[0], sides[1], exclude=list(exclude or ()), **options)


def calibrate(
    vectors: ArrayLike, identities: ArrayLike, *, norms: ArrayLike | None = None, **options: Any
) -> CalibrationResult:
    """Call `facever.evaluate.calibrate` with arrays in its former form."""
    return calibration.calibrate(_columns(vectors, identities, norms), **options)


def transfer(
    vectors: ArrayLike,
    identities: ArrayLike,
    points: Sequence[OperatingPoint],
    *,
    norms: ArrayLike | None = None,
    acquired: ArrayLike | None = None,
    exclude: Columns = None,
    level: float = 0.95,
) -> TransferResult:
    """Call `facever.evaluate.transfer` with arrays in its former form."""
    columns = _columns(vectors, identities, norms, acquired, exclude)
    names, origin = list(exclude or ()), points[0].fingerprint if points else None
    return carrying.transfer(points, columns, exclude=names, level=level, fingerprint=origin)


def _columns(
    vectors: ArrayLike,
    identities: ArrayLike,
    norms: ArrayLike | None = None,
    acquired: ArrayLike | None = None,
    exclude: Columns = None,
    groups: Columns = None,
) -> dict[str, ArrayLike]:
    """Return arrays as a mapping of columns, without None."""
    known = {"norm": norms, "acquired": acquired, **(exclude or {}), **(groups or {})}
    there = {name: values for name, values in known.items() if values is not None}
    return {"vectors": vectors, "identity": identities, **there}
