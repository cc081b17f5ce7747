"""Importer of ONNX files."""

from workloads.onnx_import.importer import import_onnx

__all__ = ["import_onnx"]
