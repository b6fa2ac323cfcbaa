"""What the ETL noticed in the data: one line each, in the log, the manifest and the report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

import polars as pl

from core import log
from etl.care.drift import LARGE


@dataclass(frozen=True)
class Finding:
    """One thing noticed.

    Attributes:
        kind: What it is: `drift`, or a check of `etl.leaks`.
        column: What it is about: a raw column, a feature, or "" for the rows as a whole.
        told: The line.
    """

    kind: str
    column: str
    told: str

    def to_json(self) -> dict[str, str]:
        """Plain JSON values."""
        return asdict(self)


def tell(findings: Iterable[Finding]) -> None:
    """Log each finding."""
    for found in findings:
        log.get("etl").warning("%s", found.told)


def drifting(profile: pl.DataFrame, *, quiet: Iterable[str | None]) -> list[Finding]:
    """The columns of a profile that drift from the training rows.

    Args:
        profile: As `etl.care.profile` makes it.
        quiet: Columns whose drift says nothing: times and ids, which the split itself cuts.
    """
    known, findings = set(quiet), []
    for row in profile.iter_rows(named=True):
        splits = [split for split in ("valid", "test") if row[f"drifts_{split}"] and row["name"] not in known]
        if splits:
            told = f"the column {row['name']} drifts from the training rows: {'; '.join(_told(row, s) for s in splits)}"
            findings.append(Finding("drift", row["name"], f"{told} (from {LARGE} a shift is large)"))
    return findings


def _told(row: Mapping[str, float], split: str) -> str:
    before, after = row["nulls_train"], row[f"nulls_{split}"]
    nulls = f", nulls {before:.1%} -> {after:.1%}" if abs(after - before) >= 0.01 else ""
    return f"{split} PSI {row[f'psi_{split}']:.2f}{nulls}"
