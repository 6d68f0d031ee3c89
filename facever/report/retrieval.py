"""The section of a ranking: CMC, mean average precisions, the queries that went wrong."""

from facever.evaluation.one_to_many.ranking import WrongFirst, shown_ranks
from facever.evaluation.one_to_many.retrieval import RetrievalResult
from facever.evaluation.one_to_one.text import by_method
from facever.report import figures
from facever.report.faces import portrait_of
from facever.report.numbers import count, rate, score
from facever.report.page import (
    Block,
    Cell,
    Comparison,
    Comparisons,
    Facts,
    Figure,
    Note,
    Section,
    Table,
)
from facever.vectors.embedding_set import EmbeddingSet

_RANKS = (1, 5, 10, 20)
_WRONG = 12


def retrieval_section(
    result: RetrievalResult, embeddings: EmbeddingSet, thumbnails: bool
) -> Section:
    """Show how far down the list the right person stands.

    Args:
        result: What was retrieved.
        embeddings: The rows that its wrong first candidates speak of.
        thumbnails: Whether pictures are shown.
    """
    blocks: list[Block] = [
        Figure(
            "CMC",
            figures.cmc([_curve(result)]),
            "Queries whose right person is among the first k of the list (upwards), over k. "
            "The band holds the intervals.",
        ),
        _metrics(result),
        Facts(
            [
                ("queries", count(result.queries)),
                ("queries without a match, left out", count(result.without_match)),
                ("of them with positives by their own camera only", count(result.own_camera_only)),
                ("images in the gallery", count(result.gallery)),
                ("not embedded: queries", count(result.failed_queries)),
                ("not embedded: gallery", count(result.failed_gallery)),
                ("ranked by", result.ranked_by),
                ("own camera", "left out" if result.cross_camera else "counted"),
            ]
        ),
    ]
    if result.first_wrong:
        blocks.append(
            Comparisons(
                "Wrong at rank 1",
                "The query, who came first, and the best picture of the right person. The highest "
                "scores first: one person under two names may be among them.",
                [_wrong(wrong, embeddings, thumbnails) for wrong in result.first_wrong[:_WRONG]],
            )
        )
    if result.reranking or result.expansion:
        blocks.append(
            Note("A ranking changed like this has no threshold: verification goes by the scores.")
        )
    blocks += [Note(text, warning=True) for text in result.warnings]
    lead = "Every query ranks the gallery; where does the right person stand?"
    if result.overlap is not None and result.overlap.brief:
        lead += f" Mind: {result.overlap.brief}."
    return Section("retrieval", "Retrieval", blocks, lead)


def _curve(result: RetrievalResult) -> figures.Cmc:
    """Return the CMC at the ranks that have intervals, or at all that are shown."""
    ranks = [k for k in range(1, len(result.cmc) + 1) if f"rank {k}" in result.intervals]
    if not ranks:
        ranks = shown_ranks(len(result.cmc))
        return figures.Cmc("queries", ranks, [result.rank(k) for k in ranks])
    found = [result.intervals[f"rank {k}"] for k in ranks]
    return figures.Cmc(
        "queries",
        ranks,
        [result.rank(k) for k in ranks],
        [interval.low for interval in found],
        [interval.high for interval in found],
    )


def _metrics(result: RetrievalResult) -> Table:
    named = [(f"rank {k}", f"rank {k}", result.rank(k)) for k in _RANKS]
    named += [
        ("mAP, plain", "map_plain", result.map_plain),
        ("mAP, trapezoid (official Market-1501)", "map_trapezoid", result.map_trapezoid),
        ("mINP", "minp", result.minp),
    ]
    rows: list[list[Cell]] = []
    for name, key, value in named:
        found = result.intervals.get(key)
        ends: list[Cell] = ["", ""] if found is None else [rate(found.low), rate(found.high)]
        rows.append([name, rate(value), *ends])
        if result.answerable is not None:
            rows[-1].append(rate(result.with_failures(value)))
    shown = [(name, result.intervals[key]) for name, key, _ in named if key in result.intervals]
    ways = [f"{', '.join(names)}: {way}" for way, names in by_method(shown).items()]
    caption = f"Retrieval. Intervals over the queries' people, of {'; of '.join(ways)}."
    headers = ["metric", "value", "low", "high"]
    if result.answerable is not None:
        headers.append("with failures")
        caption += (
            f" With failures: of {result.answerable:,} queries, those that a failed image lost "
            "count as never matched."
        )
    return Table(caption, headers, rows)


def _wrong(wrong: WrongFirst, embeddings: EmbeddingSet, thumbnails: bool) -> Comparison:
    return Comparison(
        portrait_of(embeddings, wrong.query, thumbnails),
        [
            portrait_of(embeddings, wrong.candidate, thumbnails, score(wrong.score)),
            portrait_of(embeddings, wrong.right, thumbnails, score(wrong.right_score)),
        ],
        "wrong at rank 1",
        "bad",
        score(wrong.score),
    )
