"""Bake-off: comparison of heads on the same data."""

from facever.studies.bakeoff.contenders import read_configs, read_contenders
from facever.studies.bakeoff.result import BakeoffResult
from facever.studies.bakeoff.running import bakeoff

__all__ = ["BakeoffResult", "bakeoff", "read_configs", "read_contenders"]
