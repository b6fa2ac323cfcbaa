"""Figures of trained models: exact, on splits that they have not learned from, beside baselines."""
