"""Drawings that stand in a page or in a picture file: one or several, side by side."""

from facever.report.panels.attention import attention_sheet
from facever.report.panels.embedding import features, similarity_matrix
from facever.report.panels.kernel import kernel, own_probability
from facever.report.panels.writing import check_suffix, write_figures

__all__ = [
    "attention_sheet",
    "check_suffix",
    "features",
    "kernel",
    "own_probability",
    "similarity_matrix",
    "write_figures",
]
