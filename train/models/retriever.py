"""What a candidate generator of this package is: frozen settings that build two towers.

A model whose weights follow from the data in one go derives from `CountedModel`; one that gradients train, from
`TrainedModel`.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from core.spec import Spec
from train.batch import Batch, Features
from train.pairs import Pairs, Tables


class Towers(nn.Module):
    """Two modules, each Batch -> vector_BD: `query` for users, `item` for items. Their inner product ranks.

    A batch of entities carries the number of each row under `extra[ENTITY]`; `query` must not need it, since a
    served user can be new.
    """

    def __init__(self, query: nn.Module, item: nn.Module) -> None:
        super().__init__()
        self.query, self.item = query, item

    def settle(self) -> None:
        """Bring the weights into the form in which they are evaluated and stored; called after each epoch."""


class RetrieverModel(Spec):
    """Settings of a candidate generator."""

    kind: str
    """Its name in YAML and in `train.models.RETRIEVERS`."""

    def build(self, user: Features, item: Features, *, items: int) -> Towers:
        """Make the towers with fresh weights, drawn from torch's current random state.

        Args:
            user: Features of a user.
            item: Features of an item.
            items: Size of the catalogue.

        Raises:
            UserError: The model cannot work with these features.
        """
        raise NotImplementedError


class CountedModel(RetrieverModel):
    """A candidate generator whose weights follow from the training pairs in one go."""

    def fill(self, towers: Towers, pairs: Pairs) -> None:
        """Set the weights of `towers` in place."""
        raise NotImplementedError


class TrainedModel(RetrieverModel):
    """A candidate generator that gradients train."""

    def objective(self, towers: Towers, tables: Tables, pairs: Pairs) -> Callable[[Batch], Tensor]:
        """Make the loss: a batch of pairs -> mean loss of its rows.

        Args:
            towers: What `build` gave, on the device of the tables.
            tables: Features of every user and every item.
            pairs: The positive training pairs.
        """
        raise NotImplementedError
