"""The blocks of a result's description: facts, tables, figures, notes, pictures.

A result lists its blocks once (`facever.render.result.Result.describe`); the renderers know only
the appearance of each kind of block.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Tone = Literal["good", "bad", "neutral"]
SIZE = (4.7, 3.8)  # inches of 72 units: legible on a phone of that width


@dataclass(frozen=True)
class Number:
    """A number: formatted text, and the full value."""

    text: str
    value: float


@dataclass(frozen=True)
class Range:
    """The two ends of an interval."""

    low: Number
    high: Number

    @property
    def text(self) -> str:
        """Both ends in brackets."""
        return f"[{self.low.text}, {self.high.text}]"


Cell = str | Number | Range


def text_of(cell: Cell) -> str:
    """Return a cell as text."""
    return cell if isinstance(cell, str) else cell.text


class Block:
    """One part of a description; `kind` names its macro in blocks.html."""

    kind: ClassVar[str]


@dataclass(frozen=True)
class Note(Block):
    """A paragraph or a warning."""

    kind: ClassVar = "note"
    text: str
    warning: bool = False


@dataclass(frozen=True)
class Facts(Block):
    """Names and values."""

    kind: ClassVar = "facts"
    rows: Sequence[tuple[str, Cell]]
    title: str = ""
    folded: bool = False


@dataclass(frozen=True)
class Table(Block):
    """A table. The first table of a result is its data frame; a folded table is opened on click."""

    kind: ClassVar = "table"
    caption: str
    headers: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    folded: bool = False


@dataclass(frozen=True)
class List(Block):
    """Lines under a heading, such as the names of files."""

    kind: ClassVar = "list"
    title: str
    lines: Sequence[str]


@dataclass(frozen=True)
class Drawing:
    """The data of a figure, as a function that draws them.

    Args:
        name: Unique within a page.
        alt: Alternative text for screen readers.
        paint: Draws into matplotlib axes, with the colours of `facever.render.svg`.
        size: Width and height in inches in an image file; a page keeps the ratio.
    """

    name: str
    alt: str
    paint: "Callable[[Axes], None]"
    size: tuple[float, float] = SIZE


@dataclass(frozen=True)
class Figure(Block):
    """A drawing with a title and a caption."""

    kind: ClassVar = "figure"
    title: str
    drawing: Drawing
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """A small image with its name, or the reason why the image is missing.

    Args:
        name: The identity.
        detail: The image, such as its file name.
        uri: A data: URI.
        reason: Why there is no `uri`; without both, only the name is shown.
        score: The score against the first picture of the comparison.
        tone: Colour of the frame.
        row: Row of an embedding set, from which `illustrated` takes name and image.
        tall: Whether the picture has its own height, such as a photo above its crop.
    """

    name: str
    detail: str = ""
    uri: str | None = None
    reason: str = ""
    score: Number | None = None
    tone: Tone = "neutral"
    row: int | None = None
    tall: bool = False

    @classmethod
    def of_row(cls, row: int, score: Number | None = None) -> "Picture":
        """Return a placeholder that `illustrated` replaces by the image of the row."""
        return cls(f"row {row}", score=score, row=row)


@dataclass(frozen=True)
class Comparison:
    """Pictures side by side: the first is compared with each of the others."""

    probe: Picture
    others: Sequence[Picture]
    verdict: str
    tone: Tone = "neutral"
    score: Number | None = None


@dataclass(frozen=True)
class Comparisons(Block):
    """Several comparisons under one heading."""

    kind: ClassVar = "comparisons"
    title: str
    caption: str
    items: Sequence[Comparison]


@dataclass(frozen=True)
class Sheet(Block):
    """One large picture."""

    kind: ClassVar = "sheet"
    title: str
    picture: Picture
    caption: str


@dataclass(frozen=True)
class Section:
    """A part of a description. Consecutive figures are placed side by side if there is room."""

    anchor: str
    title: str
    blocks: Sequence[Block]
    lead: str = ""


def pictures_of(block: Block) -> Iterator[Picture]:
    """Yield the pictures in a block."""
    if isinstance(block, Sheet):
        yield block.picture
    elif isinstance(block, Comparisons):
        for item in block.items:
            yield from (item.probe, *item.others)


def illustrated(section: Section, portrait: Callable[[int], Picture]) -> Section:
    """Return a section with the images of its rows.

    Args:
        section: A section; its pictures may be placeholders (`Picture.of_row`).
        portrait: Returns the image of a row, with its identity.
    """

    def looked_up(picture: Picture) -> Picture:
        if picture.row is None:
            return picture
        return replace(portrait(picture.row), score=picture.score, tone=picture.tone)

    def filled(block: Block) -> Block:
        if not isinstance(block, Comparisons):
            return block
        return replace(
            block,
            items=[
                replace(item, probe=looked_up(item.probe), others=[*map(looked_up, item.others)])
                for item in block.items
            ],
        )

    return replace(section, blocks=[filled(block) for block in section.blocks])
