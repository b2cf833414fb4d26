"""Rendered talking heads with exact truth: geometry, appearance, speech and motion."""
