"""The figures as Markdown: printed, and put between the marks of a page."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tests.bench.etl.measure import Run


@dataclass(frozen=True)
class Row:
    """Medians of the runs of one side."""

    name: str
    fit: float
    wall: float
    cpu: float
    resident: float
    own: float

    @classmethod
    def of(cls, name: str, runs: Sequence[Run]) -> Row:
        """From its runs."""
        return cls(
            name,
            *(median(getattr(one, key) for one in runs) for key in ("fit", "wall", "cpu", "resident", "own")),
        )


@dataclass
class Table:
    """One comparison.

    Attributes:
        title: What is compared.
        rows: The sides.
        base: The side that the others are compared with.
        times: Say how many times the base's figure the others have, not the other way round.
        notes: Sentences below.
    """

    title: str
    rows: list[Row]
    base: str = ""
    times: bool = False
    notes: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        """The table and its notes."""
        lines = [f"**{self.title}**", ""]
        if self.rows:
            lines += [
                "| side | fit s | in all s | CPU s | peak MiB | of it without files |",
                "|---|---|---|---|---|---|",
            ]
            lines += [self._line(row) for row in self.rows]
            lines.append("")
        return "\n".join([*lines, *(f"- {note}" for note in self.notes), ""])

    def _line(self, row: Row) -> str:
        base = next((each for each in self.rows if each.name == self.base), None)
        cells = [f"{row.fit:.2f}"]
        for key, form in (("wall", ".2f"), ("cpu", ".2f"), ("resident", ".0f"), ("own", ".0f")):
            value = getattr(row, key)
            cells.append(f"{value:{form}}" + self._ratio(value, base and getattr(base, key), same=row is base))
        return f"| {row.name} | " + " | ".join(cells) + " |"

    def _ratio(self, value: float, base: float | None, *, same: bool) -> str:
        if not base or same or not value:
            return ""
        return f" (x {value / base:.2f})" if self.times else f" (1/{base / value:.1f})"


def write(part: str, tables: Sequence[Table], page: Path) -> None:
    """Print tables and put them into the page, between the marks of this part."""
    text = "\n".join(table.markdown() for table in tables)
    if not text:
        return
    text = f"{text}\nLoad of the machine when this ended: {os.getloadavg()[0]:.1f}.\n"
    print(text, flush=True)
    if page.exists():
        old = page.read_text()
        start, end = f"<!-- {part} -->", f"<!-- end of {part} -->"
        made = re.sub(f"{start}.*?{end}", lambda _: f"{start}\n\n{text}\n{end}", old, flags=re.DOTALL)
        page.write_text(made)
