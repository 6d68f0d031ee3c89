"""Former public names: found where they are now, with a warning that names the new one."""

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NamedTuple

MOVED = {
    "facever.files": "facever.core.files",
    "facever.seeding": "facever.core.seeding",
    "facever.console": "facever.core.console",
    "facever.processes": "facever.core.processes",
    "facever.text": "facever.core.text",
    "facever.vectors": "facever.embeddings",
    "facever.embedding": "facever.models",
    "facever.evaluation.operating_point": "facever.operating_point",
    "facever.workflows.bakeoff": "facever.studies.bakeoff",
    "facever.workflows.features": "facever.studies.figures.features",
    "facever.workflows.keypoints": "facever.studies.figures.keypoints",
    "facever.workflows.prototypes": "facever.studies.figures.prototypes",
    "facever.workflows.kernel": "facever.studies.figures.kernel",
    "facever.workflows.index_cost": "facever.studies.index_tuning",
    "facever.workflows.tuning": "facever.studies.index_tuning",
    "facever.studies.index_cost": "facever.studies.index_tuning",
    "facever.studies.tuning": "facever.studies.index_tuning",
    "facever.workflows.quickstart": "facever.quickstart.quickstart",
    "facever.comparison": "facever.pair_verification",
    "facever.evaluation.one_to_one.result": "facever.evaluation.one_to_one.verified",
    "facever.evaluation.one_to_one.scores": "facever.evaluation.one_to_one.score_table",
    "facever.adversarial": "facever.training.htg",
    "facever.training.adversarial": "facever.training.htg.step",
    "facever.training.watching": "facever.training.monitoring",
    "facever.training.choosing": "facever.training.selection",
    "facever.training.beside": "facever.training.supervision",
    "facever.heads.parts": "facever.heads.common",
    "facever.heads.prototypes": "facever.heads.classes",
    "facever.gallery.exports": "facever.gallery.export",
}
"""The present name by the former one, of modules and of packages with all that is in them."""


class Former(NamedTuple):
    """A name that a module had.

    Attributes:
        home: Where what it stands for is now, "module:attribute".
        now: What to write in its place, such as "facever.evaluate.verification".
    """

    home: str
    now: str


def former_attribute(now: str) -> property:
    """Return a property under a former name: it warns and gives the attribute `now`."""

    def find(owner: Any) -> Any:
        warnings.warn(
            f"this attribute of {type(owner).__name__} is now .{now}",
            DeprecationWarning,
            stacklevel=2,
        )
        return getattr(owner, now)

    return property(find)


def former_names(module: str, names: Mapping[str, Former]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a module that still answers to former names.

    Each use warns (DeprecationWarning) and says what to write instead.

    Args:
        module: The module's `__name__`.
        names: Its former names.
    """

    def find(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        home, now = names[name]
        warnings.warn(
            f"{module}.{name} is now {now}; the former name goes with the next version",
            DeprecationWarning,
            stacklevel=2,
        )
        place, _, attribute = home.partition(":")
        return getattr(import_module(place), attribute)

    return find


class _FormerModules:
    """Finds modules by their former names."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - importlib's
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """Return how to import a module that has another name now; None for all others."""
        if not fullname.startswith("facever.") or present_name(fullname) is None:
            return None
        return ModuleSpec(fullname, self)  # type: ignore[arg-type] # is one, but in name

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module itself, by its present name."""
        name = present_name(spec.name)
        assert name is not None
        warnings.warn(
            f"{spec.name} is now {name}; the former name goes with the next version",
            DeprecationWarning,
            stacklevel=2,  # the import statement: Python leaves out the frames of importlib
        )
        module = import_module(name)
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing more: the module has run. Its own specification is put back."""
        former = module.__spec__
        assert former is not None
        module.__spec__ = former.loader_state


def present_name(name: str) -> str | None:
    """Return the present name of a module that was moved; None for all others."""
    for former, present in MOVED.items():
        if name == former or name.startswith(f"{former}."):
            return present + name[len(former) :]
    return None


def find_former_modules() -> None:
    """Let former names be found, before others find the files of a package that has moved."""
    if not any(isinstance(finder, _FormerModules) for finder in sys.meta_path):
        sys.meta_path.insert(0, _FormerModules())
