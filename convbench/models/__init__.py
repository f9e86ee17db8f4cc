"""Whole models: load them, list their convolutions, count, read ONNX files."""
