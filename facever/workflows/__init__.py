"""Former names of what is in `facever.Recognizer`, `Gallery.create` and `facever.studies`."""

from importlib import import_module
from typing import Any

from facever.deprecated import Former, former_names

_WITH_A_FORMER_FORM = {
    "create_gallery",
    "enroll_images",
    "migrate_gallery",
    "search_images",
    "verify_images",
    "verify_pair",
}
_moved = former_names(
    __name__,
    {"tune": Former("facever.studies.index_tuning:tune", "facever.studies.index_tuning.tune")},
)


def __getattr__(name: str) -> Any:
    if name in _WITH_A_FORMER_FORM:  # they warn when they are called
        return getattr(import_module("facever.workflows.former"), name)
    return _moved(name)
