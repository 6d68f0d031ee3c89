"""The HTML renderer of blocks, for pages and notebooks."""

import re
from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from facever.render.blocks import Block, Drawing
from facever.render.svg import printable, svg


def fragment(blocks: Sequence[Block]) -> str:
    """Return blocks as an HTML fragment for any page."""
    return ENVIRONMENT.get_template("fragment.html").render(blocks_shown=blocks)


def _drawn(drawing: Drawing) -> Markup:
    """Return the SVG as markup that is not escaped."""
    return Markup(svg(drawing))


def _finalize(value: object) -> object:
    """Replace characters that are invalid in HTML; escaping comes after."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _breakable(text: str) -> Markup:
    """Return escaped text that may break after the separators of a name or path."""
    return Markup("<wbr>").join(re.split(r"(?<=[_./-])", printable(text)))


def _unbroken(text: str) -> Markup:
    """Return escaped text in which powers of ten, such as 1e-2, stay on one line."""
    parts = re.split(r"(\d[\d.]*e-\d+)", printable(text))
    kept = Markup('<span class="number">{}</span>')
    return Markup("").join(kept.format(p) if k % 2 else escape(p) for k, p in enumerate(parts))


ENVIRONMENT = Environment(
    loader=PackageLoader("facever.render", "."),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=_finalize,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
ENVIRONMENT.filters["breakable"] = _breakable
ENVIRONMENT.filters["unbroken"] = _unbroken
ENVIRONMENT.filters["drawn"] = _drawn
