"""Where things lie in a data set on disk: the only thing that `etl` and `train` share.

    DIR/
      train/part-*.parquet  valid/  test/   transformed features + targets + USER_INDEX / ITEM_INDEX
      schema.json  schema.pbtxt             the columns of those files
      manifest.json                         rows, files and hashes of each split; what was learned, and of which rows
      workflow/                             the fitted workflow (etl.Workflow.load)
      raw_schema.json                       the raw columns that the workflow reads
      raw/sample.parquet                    up to 1000 raw rows of the test split (for the golden file)
      profile.parquet                       a profile of the raw columns (for the report)
      entities/users.parquet items.parquet  raw columns, one row an id; its row number is USER_INDEX / ITEM_INDEX
      entities/user_features.parquet item_features.parquet   the workflow's user / item outputs, same row order
      entities/user_latest.parquet item_latest.parquet   what windows over earlier rows make of each at the end of the
                                            data, same row order; where the workflow has such windows
      interactions.parquet                  USER_INDEX, ITEM_INDEX, SPLIT, TARGET, TIME: every interaction, in order

`entities` and `interactions.parquet` exist when the data have a user and an item role.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.files import read_json
from core.schema import Schema

ROW = "__row__"
"""Number of the interaction in its source, UInt32 or UInt64: what breaks ties."""
SPLIT = "__split__"
"""Int8: an index into SPLITS, or ASIDE or FOLD_IN, which only `interactions` has."""
SPLITS = ("train", "valid", "test")
ASIDE = len(SPLITS)
"""In SPLIT: the row neither trains nor judges, but earlier rows are seen by later ones."""
FOLD_IN = ASIDE + 1
"""In SPLIT: the row is known of a user who is held out; nobody learns from it."""
USER_INDEX = "__user__"
"""Int32: row of the user in entities/users.parquet."""
ITEM_INDEX = "__item__"
"""Int32: row of the item in entities/items.parquet."""
TIME = "__time__"
"""Int64: the time role as a number that sorts (seconds or microseconds as given), 0 without a time role."""
TARGET = "__target__"
"""Float32: the target after its rule; of several, the first."""
GOAL = "target"
"""Name of a target that nobody named, and the property of a column in `schema.json` that tells a target's name."""


def target_column(name: str) -> str:
    """The column of a further target: float32, null where it isn't known.

    Example:
        >>> target_column("purchase")
        '__target_purchase__'
    """
    return f"__target_{name}__"


def is_target(column: str) -> bool:
    """Whether a column is one that holds a target.

    Example:
        >>> is_target(TARGET), is_target(target_column("purchase")), is_target("purchase")
        (True, True, False)
    """
    return column == TARGET or (column.startswith("__target_") and column.endswith("__"))


@dataclass(frozen=True)
class Dataset:
    """A data set that the ETL has written.

    Example:
        >>> Dataset(Path("runs/quickstart/etl")).schema_file.name
        'schema.json'
    """

    path: Path

    @property
    def schema_file(self) -> Path:
        """The columns of the split files."""
        return self.path / "schema.json"

    @property
    def raw_schema_file(self) -> Path:
        """The raw columns that the workflow reads, with their roles as tags."""
        return self.path / "raw_schema.json"

    @property
    def workflow_dir(self) -> Path:
        """The fitted workflow."""
        return self.path / "workflow"

    @property
    def sample_file(self) -> Path:
        """Raw rows of the test split."""
        return self.path / "raw" / "sample.parquet"

    @property
    def profile_file(self) -> Path:
        """Profile of the raw columns."""
        return self.path / "profile.parquet"

    @property
    def interactions_file(self) -> Path:
        """Every interaction as indices."""
        return self.path / "interactions.parquet"

    @property
    def has_entities(self) -> bool:
        """Whether the data know users and items, so that candidates can be generated."""
        return self.interactions_file.exists()

    def entity_file(self, side: str) -> Path:
        """Raw rows of `users` or `items`."""
        return self.path / "entities" / f"{side}.parquet"

    def features_file(self, side: str) -> Path:
        """Transformed features of `user` or `item`, in the row order of the entity file."""
        return self.path / "entities" / f"{side}_features.parquet"

    def latest_file(self, side: str) -> Path:
        """What windows make of each `user` or `item` at the end of the data, in the row order of the entity file."""
        return self.path / "entities" / f"{side}_latest.parquet"

    def files(self, split: str) -> list[Path]:
        """The Parquet files of one split, in order."""
        return sorted((self.path / split).glob("part-*.parquet"))

    def schema(self) -> Schema:
        """Read the schema of the split files."""
        return Schema.read(self.schema_file)

    def raw_schema(self) -> Schema:
        """Read the schema of the raw columns."""
        return Schema.read(self.raw_schema_file)

    def manifest(self) -> dict[str, Any]:
        """Read the manifest.

        Raises:
            UserError: There is no data set here.
        """
        file = self.path / "manifest.json"
        if not file.exists():
            raise UserError("there is no data set here", where=str(self.path), cure="run the etl stage first")
        manifest: dict[str, Any] = read_json(file)
        return manifest
