"""Losses: what training makes smaller."""
