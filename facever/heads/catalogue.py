"""A description of each head, for people who choose one."""

from dataclasses import dataclass

from facever.core.parameters import Parameter, parameter_lines, parameters_of
from facever.heads.base import Head, HeadConfig
from facever.heads.registry import HEADS, head_class, head_names, written_name
from facever.render.values import Record


@dataclass(frozen=True)
class HeadCard(Record):
    """A head as its class declares it.

    Attributes:
        name: As in configurations; NAME stands for the members of a family.
        summary: One line.
        metric: The similarity by which verification must compare its embeddings.
        images_per_identity: The least number of images of one identity in a batch.
        beside: The targets that a training must load instead of labels, or None.
        paper: Authors, venue, year and equation.
        parameters: The head's own, with defaults.
        common: Those that every head has.
    """

    name: str
    summary: str
    metric: str
    images_per_identity: int
    beside: str | None
    paper: str
    parameters: tuple[Parameter, ...]
    common: tuple[Parameter, ...]

    @property
    def sampling(self) -> str:
        """What a batch must hold, in words."""
        if self.images_per_identity > 1:
            return f"{self.images_per_identity} or more images of each identity"
        return "any batch" if self.beside is None else f"any batch, with {self.beside}"

    def to_text(self, common: bool = True) -> str:
        """Return the card as lines; `common` adds what every head takes."""
        lines = [
            f"{self.name}: {self.summary}",
            f"    paper: {self.paper}",
            f"    compare by: {self.metric}; sampling: {self.sampling}",
        ]
        for parameter in (*self.parameters, *(self.common if common else ())):
            lines += [f"    {line}" for line in parameter_lines(parameter)]
        return "\n".join(lines)


def catalogue() -> list[HeadCard]:
    """Return the card of every head, in alphabetical order."""
    return [_card(HEADS[name]) for name in head_names()]


def card(name: str) -> HeadCard:
    """Return the card of one head; for a member of a family, such as pml:NAME, the family's.

    Raises:
        ConfigError: There is no such head.
    """
    return _card(HEADS[name] if name in HEADS else head_class(name))


def _card(head: type[Head]) -> HeadCard:
    given = parameters_of(head.Config.model_json_schema())
    parameters = [parameter for parameter in given if parameter.name != "name"]
    return HeadCard(
        name=written_name(head.name),
        summary=(head.__doc__ or "").partition("\n")[0],
        metric=head.metric,
        images_per_identity=head.images_per_identity,
        beside=head.beside,
        paper=head.paper,
        parameters=tuple(p for p in parameters if p.name not in HeadConfig.model_fields),
        common=tuple(p for p in parameters if p.name in HeadConfig.model_fields),
    )
