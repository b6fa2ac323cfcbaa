"""Optimizers: exact sparse ones for embedding tables, AdamW for the rest, and their schedule."""
