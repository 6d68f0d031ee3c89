"""Changes that lost against another one, and are made again."""

import time
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from facever.errors import UnavailableError

P = ParamSpec("P")
T = TypeVar("T")

_ATTEMPTS = 5
_PAUSE = 0.02  # seconds before the second attempt; twice that before the next one


class ConflictError(UnavailableError):
    """The database undid a change because of another transaction; nothing of it is left."""


def repeated(change: Callable[P, T]) -> Callable[P, T]:
    """Make a whole change again if the database undid it because of another transaction.

    Args:
        change: A function that makes one change in one transaction.

    Raises:
        ConflictError: It was undone five times.
    """

    @wraps(change)
    def make(*given: P.args, **options: P.kwargs) -> T:
        for attempt in range(_ATTEMPTS - 1):
            try:
                return change(*given, **options)
            except ConflictError:
                time.sleep(_PAUSE * 2**attempt)
        return change(*given, **options)

    return make
