"""Errors that a user can mend: one clear line saying what, where and what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


class FaceverError(Exception):
    """A user-facing error. Its message is one line; the command line exits with status 2.

    What other libraries say in many lines becomes one, without what a terminal would obey.
    """

    def __init__(self, message: str) -> None:
        super().__init__(plain(" ".join(message.split())))


class ConfigError(FaceverError):
    """A configuration, option or parameter that cannot be used."""


class MissingPackageError(ConfigError, ModuleNotFoundError):
    """A package that is not installed. The message names the extra that installs it."""


class DataError(FaceverError):
    """Images, manifests, pair lists or embedding files that cannot be used."""


class ModelError(FaceverError):
    """A model or checkpoint that cannot be loaded or does not fit its use."""


class TrainingError(FaceverError):
    """A training that cannot start or go on."""


class GalleryError(FaceverError):
    """A gallery that cannot be opened, changed or asked."""


class NotEnrolledError(GalleryError):
    """A person, an image or a stored measurement that the gallery does not have."""


class TakenError(GalleryError):
    """An id, a name or an image that the gallery has already."""


class UnavailableError(GalleryError):
    """A gallery that cannot be used now: locked, full, read-only, replaced or damaged."""


class EvaluationError(FaceverError):
    """Scores or trials that cannot support what was asked of them."""


def plain(text: str) -> str:
    """Return a text with everything that is not printed, such as an escape code, spelled out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the allowed name nearest to `name`, or an empty string."""
    matches = get_close_matches(name, sorted(allowed), n=1, cutoff=0.5)
    return f"; did you mean '{matches[0]}'?" if matches else ""


def unknown(kind: str, name: str, allowed: Iterable[str], most: int = 12) -> str:
    """Return one line: the unknown name, the nearest match and what is allowed."""
    names = sorted(allowed)
    shown = ", ".join(names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "")
    return f"unknown {kind} '{name}'{nearest(name, names)} (allowed: {shown})"
