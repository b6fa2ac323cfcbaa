"""Checkpoints: everything that a run needs to go on as if it had never stopped.

DIR/checkpoint/state.json           position, history, what the run is
DIR/checkpoint/tensors.safetensors  weight.*, optimizer.*, random.*, each whole and by name
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from core import log
from core.errors import UserError
from core.files import new_directory, read_json, recover_directory, remove_temporaries, write_bytes, write_json

VERSION = 1
OPTIMIZER = "optimizer.safetensors"
"""What the optimizer remembered at the best epoch, where that is kept."""


@dataclass(frozen=True)
class Position:
    """Where a run stands between two steps.

    Attributes:
        epoch: Epochs that are done.
        step: Steps of the current epoch that are done.
        loss: Sum of the losses of the current epoch's rows so far.
        best_epoch: Epoch (from 1) of the best validation figure, 0 before the first.
        best: That figure.
        history: One entry for each epoch that is done.
    """

    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    best_epoch: int = 0
    best: float = 0.0
    history: tuple[Mapping[str, Any], ...] = field(default=())


@dataclass(frozen=True)
class Checkpoint:
    """A position with the tensors that belong to it."""

    position: Position
    tensors: Mapping[str, Tensor]

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors of one part: weight, optimizer or random."""
        prefix = f"{name}."
        return {key.removeprefix(prefix): value for key, value in self.tensors.items() if key.startswith(prefix)}


def save_checkpoint(directory: Path, position: Position, parts: Mapping[str, Mapping[str, Tensor]], run: str) -> None:
    """Replace the checkpoint of a directory; a crash leaves the old one or the new one.

    Args:
        directory: The run's working directory.
        position: Where the run stands.
        parts: Named groups of named tensors, on any device.
        run: What tells this run from another.
    """
    tensors = {f"{part}.{name}": value for part, named in parts.items() for name, value in named.items()}
    with new_directory(directory / "checkpoint") as new:
        save_tensors(new / "tensors.safetensors", tensors)
        write_json(new / "state.json", {"version": VERSION, "run": run, "position": asdict(position)})


def load_checkpoint(directory: Path, run: str) -> Checkpoint | None:
    """The checkpoint of a directory, or None where there is none or one of another run.

    Raises:
        UserError: It is broken.
    """
    folder = directory / "checkpoint"
    recover_directory(folder)
    remove_temporaries(directory)
    if not folder.exists():
        return None
    state = read_json(folder / "state.json")
    if state.get("version") != VERSION or state.get("run") != run:
        log.get("train").info("%s belongs to another run; starting anew", folder)
        return None
    position = Position(**{**state["position"], "history": tuple(state["position"]["history"])})
    return Checkpoint(position, load_tensors(folder / "tensors.safetensors"))


def remove_checkpoint(directory: Path) -> None:
    """Remove what a finished run no longer needs."""
    shutil.rmtree(directory / "checkpoint", ignore_errors=True)
    for file in directory.glob("best-*.safetensors"):
        file.unlink()


def best_file(directory: Path, epoch: int) -> Path:
    """Where the weights of the best epoch so far lie.

    The name holds the epoch, so that a run killed between these weights and its checkpoint finds both the old
    and the new ones.
    """
    return directory / f"best-{epoch:05d}.safetensors"


def best_memory_file(directory: Path, epoch: int) -> Path:
    """Where the optimizer's memory of the best epoch so far lies."""
    return directory / f"best-{epoch:05d}-{OPTIMIZER}"


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors atomically, as safetensors."""
    write_bytes(path, save({name: value.detach().cpu().contiguous() for name, value in tensors.items()}))


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read tensors onto the CPU.

    Raises:
        UserError: The file is missing or broken.
    """
    try:
        return load_file(path)
    except FileNotFoundError:
        raise UserError("there is no such file", where=str(path), cure="train the model again") from None
    except SafetensorError as error:
        raise UserError(f"the weights are broken ({error})", where=str(path), cure="train the model again") from None
