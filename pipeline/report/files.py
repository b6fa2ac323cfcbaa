"""The files of a run, opened once: whatever is missing is empty, and the report leaves its section out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.dataset import Dataset
from core.errors import UserError
from core.files import read_json
from pipeline import manifest
from pipeline.manifest import Record


@dataclass(frozen=True)
class Run:
    """A run directory.

    Attributes:
        path: The directory.
        records: What the manifest knows of each stage, in order.
        metrics: What evaluation found.
        config: The resolved config as text, "" where there is none.
        settings: The same as plain values.
        histories: `ranker`, `retriever` -> curves of the training.
    """

    path: Path
    records: Mapping[str, Record]
    metrics: Mapping[str, Any]
    config: str
    settings: Mapping[str, Any]
    histories: Mapping[str, Mapping[str, Any]]

    @classmethod
    def read(cls, path: Path) -> Run:
        """Open a run directory.

        Raises:
            UserError: It holds no run, or one of its files is broken.
        """
        records = {name: record for name, record in manifest.read(path).items() if name != "report"}
        if not records:
            raise UserError("there is no finished run here", where=str(path), cure="give a directory below runs/")
        config = path / "config.yaml"
        text = config.read_text(encoding="utf-8") if config.exists() else ""
        train = path / "train"
        places = {"retriever": train / "retriever", "ranker": train / "ranker"}
        histories = {name: read_object(place / "history.json") for name, place in places.items()}
        return cls(path, records, read_object(path / "metrics.json"), text, _settings(text), histories)

    @property
    def dataset(self) -> Dataset:
        """What the ETL wrote."""
        return Dataset(self.path / "etl")

    @property
    def bundle(self) -> Path:
        """What was exported."""
        return self.path / "bundle"

    def setting(self, *keys: str) -> Any:
        """A value of the config, None where it is not set."""
        value: Any = self.settings
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    def model(self, side: str) -> str:
        """The kind of model of `ranker` or `retriever`."""
        return str(self.histories.get(side, {}).get("model") or self.setting("train", side, "model", "kind") or side)


def read_object(file: Path) -> dict[str, Any]:
    """Read a JSON object; a missing file gives an empty one.

    Raises:
        UserError: The file holds anything else.
    """
    if not file.exists():
        return {}
    value = read_json(file)
    if not isinstance(value, dict):
        raise UserError("this should be a JSON object", where=str(file), cure="run the stage that writes it again")
    return value


def _settings(text: str) -> dict[str, Any]:
    import yaml

    value = yaml.safe_load(text) if text else {}
    return value if isinstance(value, dict) else {}
