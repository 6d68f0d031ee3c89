"""The blocks that a result is described by: facts, tables, figures, notes, pictures.

A result lists its blocks once (`facever.render.result.Result.describe`); the renderers know only
how each kind of block looks.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Tone = Literal["good", "bad", "neutral"]
SIZE = (4.7, 3.8)  # inches of 72 units: legible where a phone is that wide


@dataclass(frozen=True)
class Number:
    """A number: as a person reads it, and in full for machines."""

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
    """Return a cell as a person reads it."""
    return cell if isinstance(cell, str) else cell.text


class Block:
    """One part of a description; `kind` names how it looks (blocks.html)."""

    kind: ClassVar[str]


@dataclass(frozen=True)
class Note(Block):
    """A paragraph, or a warning that must not be missed."""

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
    """A table. The first one of a result is its data frame; a folded one is opened on demand."""

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
    """The data of a figure, in the form of a function that draws them.

    Args:
        name: Unique within a page.
        alt: What it shows, for those who do not see it.
        paint: Draws into matplotlib axes, with the colours of `facever.render.svg`.
        size: Width and height in inches, in a picture file; a page keeps the ratio.
    """

    name: str
    alt: str
    paint: "Callable[[Axes], None]"
    size: tuple[float, float] = SIZE


@dataclass(frozen=True)
class Figure(Block):
    """A drawing, a few words above it, and how to read it."""

    kind: ClassVar = "figure"
    title: str
    drawing: Drawing
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """A small image with its name, or the reason why it cannot be shown.

    Args:
        name: Whom it shows.
        detail: Which image it is.
        uri: A data: URI.
        reason: Why there is no `uri`; without both, only the name is shown.
        score: Against the picture it stands beside.
        tone: How its frame is coloured.
        row: Its row in an embedding set, where its name and image are to be looked up.
        tall: Whether it has its own height, such as a photo above its crop.
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
        """Return the place of an image that `illustrated` looks up."""
        return cls(f"row {row}", score=score, row=row)


@dataclass(frozen=True)
class Comparison:
    """Pictures side by side: the first against each other one."""

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
    """A part of a description. Neighbouring figures stand side by side where there is room."""

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
        section: Whose pictures may be places of rows (`Picture.of_row`).
        portrait: Returns the image of a row, with whom it shows.
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
