"""Checkpoints -> a verified bundle that runs without torch (docs/formats.md section 3, docs/export.md)."""
