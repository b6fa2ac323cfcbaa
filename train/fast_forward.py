"""How the forward pass of a training is computed: in bfloat16, compiled, or as it stands.

Both are for training alone. Validation, export and every figure come from the module as it stands, in float32.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import warnings
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from core.errors import UserError
from train.batch import Batch
from train.layers.embedding import FusedEmbedding

Forward = Callable[[Batch], Tensor]


@contextlib.contextmanager
def fast_forward(
    module: nn.Module, *, bfloat16: bool, compiled: bool, device: torch.device, where: str
) -> Iterator[Forward]:
    """Give the forward pass of a module inside the block; its results are float32.

    Args:
        module: Batch -> logits.
        bfloat16: Matrix products of the dense part in bfloat16 (`torch.autocast`). Weights, embeddings, gradients,
            sums and the loss stay float32.
        compiled: The dense part through `torch.compile`. Embedding tables stay as they are: their gradients are sparse.
        device: Where the module lies.
        where: The place of the setting in the config, for messages.

    Raises:
        UserError: There is no compiler on this machine.

    Example:
        >>> cpu, batch = torch.device("cpu"), torch.ones(2, 3)
        >>> with fast_forward(nn.Linear(3, 1), bfloat16=True, compiled=False, device=cpu, where="") as forward:
        ...     forward(batch).dtype
        torch.float32
    """
    with contextlib.ExitStack() as stack:
        run: Forward = module
        if compiled:
            _require_compiler(device, where)
            stack.enter_context(_without_torchs_own_warnings())
            stack.enter_context(_tables_apart(module))
            run = torch.compile(module, dynamic=True)
            stack.callback(torch.compiler.reset)

        def forward(batch: Batch) -> Tensor:
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bfloat16):
                return run(batch).float()

        yield forward


@contextlib.contextmanager
def _without_torchs_own_warnings() -> Iterator[None]:
    """Torch's compiler warns of how torch is written and of what it looks at itself; a user can change neither."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`torch.jit", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message="The .grad attribute of a Tensor that is not a leaf")
        yield


@contextlib.contextmanager
def _tables_apart(module: nn.Module) -> Iterator[None]:
    """Keep the lookups of a module out of compiled graphs, which know no sparse gradients."""
    tables = [part for part in module.modules() if isinstance(part, FusedEmbedding)]
    names = ("forward", "of")
    for table in tables:
        for name in names:
            table.__dict__[name] = torch.compiler.disable(getattr(table, name))  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        for table in tables:
            for name in names:
                table.__dict__.pop(name, None)


def _require_compiler(device: torch.device, where: str) -> None:
    """Say at once, in the user's words, what `torch.compile` would find out in the middle of a training."""
    if device.type == "cuda":
        if importlib.util.find_spec("triton") is None:
            cure = "install triton, or set compile: false"
            raise UserError("compile: true needs triton on a GPU, and it is not installed", where=where, cure=cure)
        return
    asked = os.environ.get("CXX", "g++")
    if shutil.which(asked) is None:
        told = f"compile: true needs a C++ compiler, and there is no {asked} on this machine"
        raise UserError(told, where=where, cure="install g++ (or name another in CXX), or set compile: false")
