"""The one door to the choice of device; nothing else asks whether there is a GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.errors import MissingExtra, UserError

if TYPE_CHECKING:
    import torch

NAMES = ("auto", "cpu", "cuda")


def pick(name: str = "auto") -> torch.device:
    """Choose a device.

    Args:
        name: `auto` (a GPU where there is one), `cpu` or `cuda`.

    Raises:
        UserError: There is no such choice.
        MissingExtra: `cuda` was asked for and can't be had.

    Example:
        >>> pick("cpu").type
        'cpu'
    """
    import torch

    if name not in NAMES:
        raise UserError(f"there is no device {name!r}", where="--device", cure=f"one of: {', '.join(NAMES)}")
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise MissingExtra("no CUDA device can be used", where="--device cuda", cure=_cure())
    return torch.device("cuda", torch.cuda.current_device())


def describe(device: torch.device) -> str:
    """A device in words: its type, and its name where it is a GPU."""
    import torch

    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type


def _cure() -> str:
    import torch

    if torch.version.cuda is None:
        return "this PyTorch is built for the CPU: install the GPU requirements (see README), or use --device cpu"
    return "check that nvidia-smi shows a GPU and that its driver is recent enough, or use --device cpu"
