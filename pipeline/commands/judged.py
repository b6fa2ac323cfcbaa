"""What a run says of its models: `metrics.json` and, beside it, what each user adds to the figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import UserError
from core.files import hash_file, read_json
from pipeline.seeds import Seeds, seeds_of
from pipeline.sides import sides_of, title_of

if TYPE_CHECKING:
    from rich.table import Table

    from train.evaluation.sample import Sample

USERS_FILE = "metrics_users.parquet"
WIDTH = 200


def print_table(table: Table) -> None:
    """Print a table as wide as it is where no terminal sets the width: a file or a pipe cuts nothing off."""
    from rich.console import Console

    console = Console()
    (console if console.is_terminal else Console(width=WIDTH)).print(table)


@dataclass(frozen=True)
class JudgedRun:
    """An evaluated run.

    Attributes:
        path: Its directory.
        metrics: What evaluation found.
    """

    path: Path
    metrics: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> JudgedRun:
        """Open a run.

        Raises:
            UserError: There is no run, it was not evaluated, or its metrics are damaged or of an older version.
        """
        if not path.is_dir():
            raise UserError("there is no such run", where=str(path), cure="give the directory of a run below runs/")
        file, again = path / "metrics.json", f"judge it with: gyrfalcon evaluate {path}"
        if not file.exists():
            raise UserError("this run was not evaluated: metrics.json is missing", where=str(path), cure=again)
        metrics = read_json(file)
        if not isinstance(metrics, Mapping):
            raise UserError("this should be a JSON object", where=str(file), cure=again)
        judged = metrics.get("judged")
        if not isinstance(judged, Mapping) or not {"data", "splits", "protocol"} <= judged.keys():
            raise UserError("this does not tell which data were judged", where=str(file), cure=again)
        return cls(path, metrics)

    @property
    def judged(self) -> Mapping[str, Any]:
        """What runs must have in common to be compared."""
        found: Mapping[str, Any] = self.metrics["judged"]
        return found

    def sides(self) -> list[str]:
        """What was judged (`pipeline.sides`)."""
        return list(sides_of(self.metrics))

    def title(self, side: str) -> str:
        """What a side is called."""
        return title_of(side, sides_of(self.metrics)[side])

    def model(self, side: str) -> str:
        """The kind of model."""
        return str(sides_of(self.metrics)[side].get("model", side))

    def figures(self, side: str, split: str) -> dict[str, float]:
        """The numbers of its model; none where the split was not judged."""
        found = sides_of(self.metrics)[side].get(split)
        items = found.items() if isinstance(found, Mapping) else ()
        return {name: value for name, value in items if isinstance(value, int | float)}

    def seeds(self, side: str, split: str) -> Seeds | None:
        """Figures of each seed of its model; None where it was trained once."""
        return seeds_of(sides_of(self.metrics)[side], split)

    def samples(self) -> dict[tuple[str, str, str], Sample] | None:
        """What each user adds, by side, model and split; None where the file is not there.

        Raises:
            UserError: It is not the file that the metrics were written with.
        """
        import polars as pl

        from train.evaluation.sample import samples_of

        file = self.path / USERS_FILE
        if not file.exists():
            return None
        if hash_file(file) != self.judged.get("users_file"):
            cure = f"judge the run again with: gyrfalcon evaluate {self.path}"
            raise UserError("this is damaged, or not of the metrics.json beside it", where=str(file), cure=cure)
        return samples_of(pl.read_parquet(file))
