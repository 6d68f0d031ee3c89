"""What docstrings say of classes and of their attributes."""

import inspect
import re

_SECTIONS = r"^(?:Attributes|Args|Raises|Returns|Reference|Example):\n"


def attributes_of(kind: type) -> dict[str, str]:
    """Return the text of each attribute in the docstrings of a class and of its bases."""
    found: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        for section in re.findall(
            r"^(?:Attributes|Args):\n(.*?)(?=^\S|\Z)", _doc(one), re.MULTILINE | re.DOTALL
        ):
            for names, said in re.findall(
                r"^ {4}([\w, ]+): (.*?)(?=^ {4}\S|\Z)", section, re.MULTILINE | re.DOTALL
            ):
                found |= dict.fromkeys(names.split(", "), " ".join(said.split()))
    return found


def text_of(kind: object) -> list[str]:
    """Return the paragraphs of a docstring before its sections."""
    text = re.split(_SECTIONS, _doc(kind), maxsplit=1, flags=re.MULTILINE)[0]
    return [" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n")]


def _doc(kind: object) -> str:
    text = getattr(kind, "__doc__", None) or ""
    is_made = isinstance(kind, type) and text.startswith(f"{kind.__name__}(")  # by dataclass
    return "" if is_made or kind is object else inspect.cleandoc(text) + "\n"
