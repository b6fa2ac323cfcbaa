"""Does a deployed bundle still give what the trained model gave? Replays its golden rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from core.errors import UserError
from serve.bundle import GOLDEN, SCORES, Bundle, column_of
from serve.columns import encode_frame
from serve.manifest import CURE, check_hashes, check_sizes, read_manifest
from serve.signature import Array

TOLERANCE = 1e-5


@dataclass(frozen=True)
class Verification:
    """What was found.

    Attributes:
        rows: Golden rows that were replayed.
        files: Files whose hash was compared.
        differences: Largest absolute difference, by model; of vectors, relative to their largest value.
        tolerance: What is still accepted.
    """

    rows: int
    files: int
    differences: dict[str, float]
    tolerance: float = TOLERANCE

    @property
    def largest_difference(self) -> float:
        """The largest of the differences."""
        return max(self.differences.values(), default=0.0)

    @property
    def ok(self) -> bool:
        """Whether every difference is within the tolerance."""
        return self.largest_difference <= self.tolerance


def verify(path: Path) -> Verification:
    """Compare all hashes, then replay the golden rows through plain ONNX Runtime from raw columns.

    Raises:
        UserError: It is not a bundle, is of a newer version, or a file is missing, cut or changed.
    """
    manifest = read_manifest(path)
    check_sizes(path, manifest)
    files = check_hashes(path, manifest)
    bundle = Bundle.open(path)
    golden = bundle.table(GOLDEN)
    if golden.is_empty():
        raise UserError("there are no golden rows", where=str(path / GOLDEN), cure=CURE)
    differences = {name: _difference(bundle, name, golden) for name in sorted(bundle.signatures)}
    return Verification(len(golden), files, differences)


def _difference(bundle: Bundle, name: str, golden: pl.DataFrame) -> float:
    """The largest over all outputs of a model."""
    model = bundle.model(name)
    columns = {output: column_of(output) for output in model.signature.outputs}
    for column in columns.values():
        if column not in golden.columns:
            raise UserError(f"there is no column {column}", where=str(bundle.path / GOLDEN), cure=CURE)
    column = columns[model.signature.output]
    if column == SCORES:
        golden = golden.drop_nulls(column)
        if golden.is_empty():
            raise UserError("no golden row has scores", where=str(bundle.path / GOLDEN), cure=CURE)
    given = encode_frame(golden, model.signature.inputs)
    model.signature.check(given)
    answers = model.answers(given, list(columns))
    return max(_apart(found, golden[columns[output]].to_numpy()) for output, found in answers.items())


def _apart(found: Array, wanted: Array) -> float:
    if len(found) == 1:  # a model without inputs, as the query side of popularity, answers for all rows at once
        found = np.broadcast_to(found, wanted.shape[:1] + found.shape[1:])
    if found.shape != wanted.shape:
        return float("inf")
    return largest_difference(found, wanted)


def largest_difference(found: Array, wanted: Array) -> float:
    """Largest absolute difference, relative where the wanted values exceed 1; infinite where one is no number.

    Example:
        >>> largest_difference(np.array([0.5, 0.25]), np.array([0.5, 0.75]))
        0.5
    """
    both_nan = np.isnan(found) & np.isnan(wanted)
    distance = np.where(both_nan, 0.0, np.abs(found.astype(np.float64) - wanted))
    scale = max(1.0, float(np.max(np.abs(wanted), initial=0.0, where=~np.isnan(wanted))))
    largest = float(np.max(distance, initial=0.0)) / scale
    return largest if np.isfinite(largest) else float("inf")
