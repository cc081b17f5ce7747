"""Numba kernels: arrays and scalars in, arrays out.

They import numpy and numba only, and every entry point is in one file with its helpers.
"""
