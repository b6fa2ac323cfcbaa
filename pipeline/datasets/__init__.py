"""Named data sets: `DATASETS` says what there is, `fetch` brings one here, `sources` hands it to the ETL."""

from __future__ import annotations

from pipeline.datasets.catalogue import DATASETS, Description
from pipeline.datasets.named import NamedData, fetch, list_datasets, sources

__all__ = ["DATASETS", "Description", "NamedData", "fetch", "list_datasets", "sources"]
