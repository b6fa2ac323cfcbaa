"""Layers that the models share. They take sizes, never settings."""
