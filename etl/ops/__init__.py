"""Operators: a plain dict from the kind in YAML to the operator."""
