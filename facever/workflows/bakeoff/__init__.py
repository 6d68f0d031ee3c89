"""The bake-off: which head, on evidence."""

from facever.workflows.bakeoff.contenders import read_configs, read_contenders
from facever.workflows.bakeoff.result import BakeoffResult
from facever.workflows.bakeoff.running import bakeoff

__all__ = ["BakeoffResult", "bakeoff", "read_configs", "read_contenders"]
