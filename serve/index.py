"""The search for items: by inner products of vectors with faiss, exact or measured, or by scores of all items."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import faiss
import numpy as np

from core.errors import UserError
from serve.signature import Array
from serve.spec import IndexSpec

KMEANS_SAMPLE = 64
"""Vectors a list that the clustering is trained on."""


@dataclass(frozen=True)
class IndexFigures:
    """What was built.

    Attributes:
        kind: `exact` or `ivf`.
        items: Number of vectors.
        lists: Lists of the inverted file; 0 when exact.
        probes: Lists that a query visits; 0 when exact.
        recall: Measured share of the exact best `depth` items that are found.
        depth: What the recall was measured on.
    """

    kind: str
    items: int
    lists: int
    probes: int
    recall: float
    depth: int

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


class Search(Protocol):
    """Finds the best items by answers of a retriever."""

    def search(self, query_BD: Array, count: int) -> tuple[Array, Array]:
        """The best items of each row of answers; see `ItemIndex.search`."""
        ...


class BestScores:
    """The search in the scores of all items themselves: exact, equal scores by row, as the evaluation ranks.

    Example:
        >>> scores, rows = BestScores().search(np.array([[0.5, 2.0, 0.0, 2.0]], np.float32), 3)
        >>> scores.tolist(), rows.tolist()
        ([[2.0, 2.0, 0.5]], [[1, 3, 0]])
    """

    def search(self, score_BI: Array, count: int) -> tuple[Array, Array]:
        """The items with the greatest scores.

        Args:
            score_BI: float32, a column an item.
            count: How many items a row.

        Returns:
            Scores and rows (int64), best first, [B, min(count, items)].
        """
        count = min(count, score_BI.shape[1])
        rows_BK = np.stack([_best(score_I, count) for score_I in score_BI])
        return np.take_along_axis(score_BI, rows_BK, axis=1), rows_BK


class ItemIndex:
    """A faiss index whose ids are the rows of items.parquet."""

    def __init__(self, index: Any) -> None:
        self._index = index

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def width(self) -> int:
        """Length of a vector."""
        return int(self._index.d)

    def search(self, query_BD: Array, count: int) -> tuple[Array, Array]:
        """The best items of each query.

        Args:
            query_BD: float32 query vectors.
            count: How many items a query.

        Returns:
            Scores (float32) and rows (int64), best first, [B, min(count, items)]; a row of -1 is an empty
            place, which an inverted file leaves when its visited lists hold too few items.
        """
        # One query gains nothing from threads, and the setting belongs to the calling thread.
        faiss.omp_set_num_threads(1)
        query_BD = np.ascontiguousarray(query_BD, dtype=np.float32)
        scores, rows = self._index.search(query_BD, min(count, len(self)))
        return scores, rows

    def write(self, file: Path) -> None:
        """Write the index."""
        faiss.write_index(self._index, str(file))

    @classmethod
    def read(cls, file: Path) -> ItemIndex:
        """Read the index.

        Raises:
            UserError: The file is missing or broken.
        """
        try:
            return cls(faiss.read_index(str(file)))
        except RuntimeError as error:
            first = str(error).splitlines()[0]
            raise UserError(f"this is not an index ({first})", where=str(file), cure="export again") from None


def _best(score_I: Array, count: int) -> Array:
    """Rows of the greatest scores, of equal ones the smaller rows, in that order."""
    if 0 < count < len(score_I):
        least = np.partition(score_I, len(score_I) - count)[len(score_I) - count]
        above = np.flatnonzero(score_I > least)
        rows = np.concatenate([above, np.flatnonzero(score_I == least)[: count - len(above)]])
    else:
        rows = np.arange(len(score_I))[:count]
    return rows[np.lexsort((rows, -score_I[rows]))]


def build_index(vectors_ND: Array, queries_BD: Array, spec: IndexSpec) -> tuple[ItemIndex, IndexFigures]:
    """Index item vectors, exactly below `spec.exact_below` items, through an inverted file above.

    The number of visited lists is doubled until the recall on real queries reaches the target: how many that
    takes depends on the data, so it is measured and not assumed.

    Example:
        >>> vectors = np.eye(3, dtype=np.float32)
        >>> index, figures = build_index(vectors, vectors, IndexSpec())
        >>> index.search(vectors[:1], 1)[1].tolist(), figures.kind
        ([[0]], 'exact')
    """
    vectors_ND = np.ascontiguousarray(vectors_ND, dtype=np.float32)
    exact = faiss.IndexFlatIP(vectors_ND.shape[1])
    exact.add(vectors_ND)
    count, depth = len(vectors_ND), min(spec.depth, len(vectors_ND))
    if count < spec.exact_below:
        return ItemIndex(exact), IndexFigures("exact", count, 0, 0, 1.0, depth)
    queries_BD = np.ascontiguousarray(queries_BD[: spec.queries], dtype=np.float32)
    index = _inverted(vectors_ND)
    truth = exact.search(queries_BD, depth)[1]
    recall = _tune(index, queries_BD, truth, spec.recall)
    return ItemIndex(index), IndexFigures("ivf", count, index.nlist, index.nprobe, round(recall, 4), depth)


def _inverted(vectors_ND: Array) -> Any:
    count, width = vectors_ND.shape
    lists = 2 ** max(0, round(np.log2(np.sqrt(count))))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, lists, faiss.METRIC_INNER_PRODUCT)
    index.cp.max_points_per_centroid = KMEANS_SAMPLE
    index.cp.min_points_per_centroid = 1
    index.train(vectors_ND)
    index.add(vectors_ND)
    return index


def _tune(index: Any, queries_BD: Array, truth_BK: Array, target: float) -> float:
    """Set the smallest power of two of visited lists that reaches the target: the recall reached."""
    index.nprobe = 1
    while True:
        found = index.search(queries_BD, truth_BK.shape[1])[1]
        hits = sum(len(np.intersect1d(a, b)) for a, b in zip(found, truth_BK, strict=True))
        recall = hits / truth_BK.size
        if recall >= target or index.nprobe >= index.nlist:
            return float(recall)
        index.nprobe = min(2 * index.nprobe, index.nlist)
