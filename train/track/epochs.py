"""Who wants to know of each epoch of a training as soon as it is validated: a search, or a server that draws curves.

    with listening(lambda epoch: print(epoch.number, epoch.valid)):
        train_retriever(...)

A training that goes on from a checkpoint tells the epochs before it again, so that a listener hears of each epoch once
whatever was killed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Epoch:
    """A validated epoch.

    Attributes:
        where: The place of the training in the config, such as `train.ranker`.
        directory: Where it works; the last part of the name tells a seed (`seed-3`) or the baseline.
        number: Counted from 1.
        train_loss: Mean loss of its rows.
        valid: Figures of the validation split.
    """

    where: str
    directory: Path
    number: int
    train_loss: float
    valid: Mapping[str, float]


Listener = Callable[[Epoch], None]
_LISTENERS: ContextVar[tuple[Listener, ...]] = ContextVar("listeners", default=())


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Hand every epoch of this block to a listener; what it raises ends the training, whose checkpoint stays.

    Example:
        >>> heard = []
        >>> with listening(heard.append):
        ...     tell(Epoch("train.ranker", Path("out"), 1, 0.5, {"auc": 0.7}))
        >>> heard[0].valid["auc"]
        0.7
    """
    token = _LISTENERS.set((*_LISTENERS.get(), listener))
    try:
        yield
    finally:
        _LISTENERS.reset(token)


def tell(epoch: Epoch) -> None:
    """Tell all listeners."""
    for listener in _LISTENERS.get():
        listener(epoch)
