"""The target ``onnx-int8``: graphs in 8 bits, calibrated and judged on a dataset (docs/export.md)."""
