"""Every arrangeable head in forms that matter for how its prototypes are held."""

from typing import Any

import torch
from torch import Tensor

from facever.heads import HEADS, build_head
from facever.heads.base import Head
from facever.heads.classes.layout import PrototypesConfig
from facever.heads.registry import head_class

FORMS: dict[str, dict[str, Any]] = {
    "softmax": {"name": "softmax"},
    "softmax, bias": {"name": "softmax", "bias": True, "label_smoothing": 0.1},
    "cosine": {"name": "cosine"},
    "cosface": {"name": "cosface"},
    "arcface": {"name": "arcface"},
    "arcface, authors": {"name": "arcface", "gradient": "authors"},
    "combined": {"name": "combined", "m1": 1.1, "m2": 0.2},
    "adaface": {"name": "adaface"},
    "magface": {"name": "magface"},
    "curricular": {"name": "curricular"},
    "circle": {"name": "circle"},
    "asoftmax": {"name": "asoftmax"},
    "asoftmax, stable": {"name": "asoftmax", "variant": "stable"},
    "rbf": {"name": "rbf"},
    "rbf, normalised": {"name": "rbf", "normalize": True, "gamma": 1.5},
    "sphereface2": {"name": "sphereface2"},
    "sphereface2, authors": {"name": "sphereface2", "gradient": "authors"},
    "class_contrastive": {"name": "class_contrastive", "margin": 1.9},
    "class_contrastive, mean": {"name": "class_contrastive", "margin": 1.9, "reduction": "mean"},
    "class_contrastive, hardest": {"name": "class_contrastive", "reduction": "hardest"},
    "class_triplet": {"name": "class_triplet"},
    "class_triplet, sum": {"name": "class_triplet", "reduction": "sum", "pull": 0.3},
    "class_triplet, hardest": {"name": "class_triplet", "reduction": "hardest"},
}
"""By what they are called in tests."""

_arrangeable = {name for name, head in HEADS.items() if head.arrangeable}
_formed = {form["name"] for form in FORMS.values()}
assert _formed == _arrangeable, (
    f"add these heads, whose prototypes can lie in shards, to FORMS: {_arrangeable - _formed}; "
    f"remove these: {_formed - _arrangeable}"
)


def make(form: str, identities: int, size: int, seed: int = 0, **layout: Any) -> Head:
    """Return a head in a layout, the same prototypes for the same seed, of the default dtype."""
    torch.manual_seed(seed)
    values = FORMS[form]
    config = head_class(values["name"]).Config(**values)
    head = build_head(config, size, identities, PrototypesConfig(**layout))
    for parameter in head.parameters():
        if parameter.ndim == 1:  # the bias of softmax, which starts at 0
            first = head.prototypes.first
            parameter.data += torch.linspace(-1, 1, identities)[first : first + len(parameter)]
    return head


def images(form: str, count: int, identities: int, size: int, seed: int = 1) -> tuple[Tensor, ...]:
    """Return embeddings [B, D] of a length that suits the head, and labels with repetitions."""
    stream = torch.Generator().manual_seed(seed)
    length = 25.0 if form == "magface" else 3.0
    x = torch.nn.functional.normalize(torch.randn(count, size, generator=stream))
    x = x * (length + torch.rand(count, 1, generator=stream))
    return x, torch.randint(identities, (count,), generator=stream)
