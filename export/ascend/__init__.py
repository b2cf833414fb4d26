"""From a bundle's ONNX graphs to OM models for Ascend NPUs (docs/ascend-om.md)."""
