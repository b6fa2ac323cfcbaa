"""What a candidate generator of this package is: frozen settings that build a module which ranks the catalogue.

Most build `Towers`: a user's and an item's vector, whose inner product ranks. Item-item models have no vectors of few
dimensions; they build `Scores`. A model whose weights follow from the data in one go derives from `CountedModel`; one
that gradients train, from `TrainedModel`.

Shapes: B rows of a batch, V dimensions of a vector, I items.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Literal

from torch import Tensor, nn

from core.spec import Spec
from train.batch import Batch, Features
from train.batches import Batches
from train.histories import Histories
from train.item_sets import ItemSets
from train.pairs import PairLoader, Pairs, Tables


class Reads(StrEnum):
    """What a model's query reads of a user.

    FEATURES: `ids_BF`, `dense_BD` and lists, as the ETL made them.
    HISTORY: `lists[HISTORY]`, rows of the items that the user met, oldest first.
    USER: `extra[ENTITY]`, the user's row; the number behind the last one stands for somebody new.
    """

    FEATURES = "features"
    HISTORY = "history"
    USER = "user"


@dataclass(frozen=True)
class Sizes:
    """What a model is built for.

    Attributes:
        user: Features of a user.
        item: Features of an item.
        users: Number of users.
        items: Number of items: the catalogue.
    """

    user: Features
    item: Features
    users: int
    items: int


@dataclass(frozen=True)
class Block:
    """Rows of a weight that belong to the users or to the items of a data set, one each, in their order.

    Attributes:
        of: Whose they are.
        more: Further rows behind them, which stay the last.
    """

    of: Literal["users", "items"]
    more: int = 0


@dataclass(frozen=True)
class Facts:
    """What a model learns from: the training split alone.

    Attributes:
        pairs: Who liked what.
        histories: The same in the order of time, and nothing later.
        tables: Features of every user and every item.
        learned: By name of a weight: which of its rows an earlier run has brought (`train.warm_start`).
    """

    pairs: Pairs
    histories: Histories
    tables: Tables
    learned: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def positives(self) -> ItemSets:
        """What each user liked."""
        pairs = self.pairs
        return ItemSets.of(pairs.user_P, pairs.item_P, users=pairs.users, items=pairs.items)


class Towers(nn.Module):
    """Two modules, each Batch -> vector_BV: `query` for users, `item` for items. Their inner product ranks.

    A batch of items carries the number of each row under `extra[ENTITY]`.
    """

    def __init__(self, query: nn.Module, item: nn.Module) -> None:
        super().__init__()
        self.query, self.item = query, item

    def settle(self) -> None:
        """Bring the weights into the form in which they are evaluated and stored; called after each epoch."""


class Scores(nn.Module):
    """One module, Batch of users -> score_BI of every item of the catalogue: larger is better."""

    def settle(self) -> None:
        """As `Towers.settle`."""


class RetrieverModel(Spec):
    """Settings of a candidate generator."""

    kind: str
    """Its name in YAML and in `train.models.RETRIEVERS`."""
    reads: ClassVar[frozenset[Reads]] = frozenset({Reads.FEATURES})
    entity_rows: ClassVar[Mapping[str, tuple[Block, ...]]] = {}
    """The weights that have a row a user or an item: their numbers differ in each data set, so that a warm start must
    move such rows."""
    last_rows: ClassVar[int] = 0
    """Rows behind the ids of each feature that stay the last ones when a table grows."""

    def build(self, sizes: Sizes) -> Towers | Scores:
        """Make the module with fresh weights, drawn from torch's current random state.

        Raises:
            UserError: The model cannot work with these features.
        """
        raise NotImplementedError


class CountedModel(RetrieverModel):
    """A candidate generator whose weights follow from the training split in one go."""

    def fill(self, module: Towers | Scores, facts: Facts) -> None:
        """Set the weights of what `build` gave, in place."""
        raise NotImplementedError


class TrainedModel(RetrieverModel):
    """A candidate generator that gradients train."""

    @property
    def dense_layers(self) -> bool:
        """Whether it has dense layers, whose products may be rounded to bfloat16; its loss keeps float32 then."""
        return False

    def objective(self, module: Towers | Scores, facts: Facts) -> Callable[[Batch], Tensor]:
        """Make the loss: a batch -> mean loss of its rows.

        Args:
            module: What `build` gave, on the device of the facts.
            facts: The training split.
        """
        raise NotImplementedError

    def batches(self, facts: Facts, *, batch_size: int, seed: int) -> Batches:
        """What an epoch is made of: shuffled pairs, unless the model wants something else."""
        return PairLoader(facts.pairs, batch_size, seed=seed)
