"""Metrics on torch tensors: exact, deterministic, accumulated in float64."""
