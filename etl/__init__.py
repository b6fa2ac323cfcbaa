"""Columnar feature engineering: operators, workflows, engines, sources, splits and the data set on disk."""
