"""Options that take several values: `--shares train=0.8 test=0.2`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.core import TyperCommand


def is_number(word: str) -> bool:
    """Return whether a word is a number, such as 1e-3."""
    try:
        float(word)
    except ValueError:
        return False
    return True


def is_kind(word: str) -> bool:
    """Return whether a word is a kind of index, such as IVF256,Flat, and no option or path."""
    return not word.startswith("-") and not Path(word).exists()


def is_head(word: str) -> bool:
    """Return whether a word is a head, such as rbf:scale=10, and no option or key=value."""
    return not word.startswith("-") and "=" not in word.partition(":")[0]


def several(
    option: str, belongs: Callable[[str], bool], base: type[TyperCommand] = TyperCommand
) -> type[TyperCommand]:
    """Return a command class whose `option` takes all following words that belong to it.

    Args:
        option: A repeatable option, such as "--shares".
        belongs: Returns whether a word after the option's first value is another value.
        base: Another such class, for a command with several such options.
    """

    class Several(base):  # type: ignore[valid-type, misc]
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            words: list[str] = []
            for word in args:
                goes_on = words[-2:-1] == [option] and belongs(word)
                words += [option, word] if goes_on else [word]
            parsed: list[str] = super().parse_args(ctx, words)
            return parsed

    return Several
