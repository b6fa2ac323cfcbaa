"""Histories as what next-item models learn from."""
