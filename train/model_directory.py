"""A trained model on disk.

model.safetensors   weights by name
history.json        figures of each epoch, no times
model.json          settings and sizes; comes last, and so vouches for the other two
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from core.errors import UserError
from core.files import hash_json, read_json, write_json
from train.batch import Features, ListFeature, Target
from train.checkpoint import save_tensors
from train.spec import RankerSpec, RetrieverSpec
from train.trainer import Outcome

VERSION = 1
WEIGHTS = "model.safetensors"
FIGURES = ("model", "parameters", "epochs", "best_epoch")
AnySpec = RankerSpec | RetrieverSpec


def identity(
    spec: AnySpec,
    features: Sequence[Features],
    data: Mapping[str, str],
    *,
    seed: int,
    device: torch.device,
    start: str | None = None,
    refit: int | None = None,
) -> str:
    """What tells a training from another.

    Args:
        spec: Its settings. Where an earlier run lies does not count.
        features: What it reads.
        data: Hashes of the files.
        seed: What is drawn from.
        device: Where it is done; only the kind counts.
        start: A hash of what an earlier run has learned, where it begins with that.
        refit: The epochs of a second training on both splits; None: it is a first one.
    """
    return hash_json(
        {
            "version": VERSION,
            "spec": spec.model_dump(mode="json", exclude={"checkpoint_seconds": True, "start_from": {"run"}}),
            "features": [asdict(side) for side in features],
            "data": dict(data),
            "seed": seed,
            "device": device.type,
            "start": start,
            "refit": refit,
        }
    )


def finished(out: Path, run: str, *, more: Sequence[str] = ()) -> dict[str, Any] | None:
    """The figures (`FIGURES` and `more`) of a model that this very training has already written."""
    file = out / "model.json"
    if not file.exists():
        return None
    value = read_json(file)
    return {name: value[name] for name in (*FIGURES, *more)} if value.get("run") == run else None


def write_model(
    out: Path,
    module: nn.Module,
    spec: AnySpec,
    outcome: Outcome | None,
    *,
    monitor: str,
    description: Mapping[str, Any],
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write a model.

    Args:
        out: Its directory.
        module: Its weights.
        spec: How it was trained.
        outcome: What the training gave; None for a model that is counted, not trained.
        monitor: The figure that chose the epoch.
        description: What `model.json` holds beside settings and figures.
        more: Further figures.

    Returns:
        Figures for the manifest of a run, with the speed.
    """
    weights = module.state_dict()
    epochs = list(outcome.history) if outcome else []
    figures = {
        "model": spec.model.kind,
        "parameters": sum(weight.numel() for weight in weights.values()),
        "epochs": len(epochs),
        "best_epoch": outcome.best_epoch if outcome else 0,
        **(more or {}),
    }
    save_tensors(out / WEIGHTS, weights)
    # `epochs` of the figures is a count; here it is the curves.
    write_json(out / "history.json", {"version": VERSION, "monitor": monitor, **figures, "epochs": epochs})
    own = {"version": VERSION, "spec": spec.model_dump(mode="json")}
    write_json(out / "model.json", {**own, **description, **figures})
    if outcome is None:
        return figures
    speed = {"rows": outcome.rows, "seconds": outcome.seconds, "arithmetic": outcome.arithmetic}
    return {**figures, **speed, "rows_per_second": outcome.rows / max(outcome.seconds, 1e-9)}


@contextmanager
def reading(directory: Path, what: str) -> Iterator[dict[str, Any]]:
    """Give `model.json`; whatever does not fit inside the block is the file's fault.

    Raises:
        UserError: It is missing, broken, or of a newer version.
    """
    file = directory / "model.json"
    value = read_json(file)
    try:
        if int(value["version"]) > VERSION:
            raise UserError(f"the model has version {value['version']}", where=str(file), cure="update gyrfalcon")
        yield value
    except (KeyError, TypeError, RuntimeError, ValidationError) as error:
        cure = "train the model again"
        raise UserError(f"this is not a trained {what} ({error})", where=str(directory), cure=cure) from None


def features_of(value: Mapping[str, Any]) -> Features:
    """Read what `asdict` made of features."""
    columns = {name: tuple(value[name]) for name in ("categorical", "cardinalities", "continuous")}
    lists = tuple(ListFeature(**one) for one in value.get("lists", ()))
    # Models of before this field had one target.
    targets = tuple(Target(**one) for one in value.get("targets", ())) or (Target(),)
    return Features(**columns, lists=lists, user_id=value.get("user_id"), item_id=value.get("item_id"), targets=targets)
