"""Mapping onto in-memory crossbars: weights held in analog or digital arrays, inputs streamed through them."""
