"""What an answer leaves behind: rows of the log of uses, and counts."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from facever.errors import NotEnrolledError
from facever.gallery.gallery import Gallery
from facever.gallery.uses import Outcome, Use
from facever.operating_point import OperatingPoint
from facever.service.replies import (
    PairVerificationReply,
    PersonVerificationReply,
    SearchReply,
)
from facever.service.service import Service


class Asking(NamedTuple):
    """A question that is being answered.

    Args:
        caller: Name of who asks.
        request: The request's id.
        began: When it came, ISO 8601 in UTC.
    """

    caller: str
    request: str
    began: str


class _Row(NamedTuple):
    image: int
    outcome: Outcome
    person: str | None
    score: float | None


def now() -> str:
    """Return the time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def record_search(
    service: Service,
    gallery: Gallery,
    asking: Asking,
    images: Sequence[bytes] | None,
    reply: SearchReply,
) -> None:
    """Record the answers of a search."""
    rows = []
    for answer in reply.answers:
        first = answer.candidates[0] if answer.candidates else None
        outcome: Outcome = answer.decision or ("failed" if answer.error else "undecided")
        score = None if first is None else first.score
        person = None if first is None or outcome == "unknown" else first.person
        rows.append(_Row(answer.image, outcome, person, score))
    _record(service, gallery, asking, "search", images, reply.operating_point, rows)


def record_person(
    service: Service,
    gallery: Gallery,
    asking: Asking,
    images: Sequence[bytes] | None,
    reply: PersonVerificationReply,
) -> None:
    """Record the answers of a verification of a person."""
    rows = [
        _Row(
            one.image,
            "failed" if one.error else _same(one.same),
            reply.person,
            one.score,
        )
        for one in reply.probes
    ]
    _record(service, gallery, asking, "verify", images, reply.operating_point, rows)


def record_pair(
    service: Service,
    gallery: Gallery,
    asking: Asking,
    images: Sequence[bytes] | None,
    reply: PairVerificationReply,
) -> None:
    """Record the comparison of two images: a row for each of them."""
    rows = [_Row(image, _same(reply.same), None, reply.score) for image in range(2)]
    _record(service, gallery, asking, "compare", images, reply.operating_point, rows)


def _same(same: bool | None) -> Outcome:
    return "undecided" if same is None else "same" if same else "different"


def _record(
    service: Service,
    gallery: Gallery,
    asking: Asking,
    kind: str,
    images: Sequence[bytes] | None,
    point: dict[str, object] | None,
    rows: Sequence[_Row],
) -> None:
    for row in rows:
        service.metrics.answers.labels(kind, row.outcome).inc()
    log = service.uses
    if log is None:
        return
    by = None if point is None else OperatingPoint.model_validate(point).summary
    ended = now()
    searched = gallery.fingerprint, gallery.identifier, gallery.change
    log.add(
        [
            Use(
                asking.began,
                ended,
                asking.caller,
                kind,
                row.outcome,
                row.person,
                row.score,
                by,
                *searched,
                None if images is None else log.hash_of(images[row.image]),
                asking.request,
            )
            for row in rows
        ]
    )
    for person in {row.person for row in rows if row.person is not None}:
        try:
            gallery.metadata(person)
        except NotEnrolledError:  # removed meanwhile, perhaps before these rows were there
            log.forget([person])
