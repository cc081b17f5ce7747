"""Mapping onto in-memory crossbars: weights held in analog or digital arrays, inputs streamed through them."""

from mappings.crossbar.mapper import CrossbarMapper

__all__ = ["CrossbarMapper"]
