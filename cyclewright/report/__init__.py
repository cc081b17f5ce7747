"""The report of a run: one self-contained HTML page, made from the stored JSON document alone."""

from __future__ import annotations

from cyclewright.report.page import render

__all__ = ["render"]
