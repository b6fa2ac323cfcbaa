"""What is counted needs no validation rows; what is trained does."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.config import load
from core.errors import UserError
from pipeline.spec import RunSpec
from pipeline.stages import _require_rows

CONFIG = Path(__file__).parents[2] / "configs" / "gowalla_ease.yaml"


def test_a_published_split_without_validation_rows_is_enough() -> None:
    _require_rows(load(RunSpec, CONFIG), {"train": 3, "valid": 0, "test": 1})


def test_a_split_that_the_config_names_must_not_be_empty() -> None:
    with pytest.raises(UserError, match="the split test is empty"):
        _require_rows(load(RunSpec, CONFIG), {"train": 3, "valid": 0, "test": 0})


def test_what_is_trained_needs_rows_to_choose_the_epoch_by() -> None:
    spec = load(RunSpec, CONFIG, ["train.retriever.model={kind: mf}"])
    with pytest.raises(UserError, match="the split valid is empty"):
        _require_rows(spec, {"train": 3, "valid": 0, "test": 1})
