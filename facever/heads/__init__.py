"""Training criteria, one per file, and their registry."""

from facever.core.extras import named_extras

with named_extras():
    from facever.heads.base import Head, HeadConfig, HeadOutput
    from facever.heads.registry import (
        HEADS,
        build_head,
        config_union,
        create_head,
        head_names,
        register,
    )
    from facever.heads.weighted_sum import WeightedSum

__all__ = [
    "HEADS",
    "Head",
    "HeadConfig",
    "HeadOutput",
    "WeightedSum",
    "build_head",
    "config_union",
    "create_head",
    "head_names",
    "register",
]
