"""What next-item models share: a history goes in, a vector comes out that meets the vector of what comes next.

Shapes: B histories, J items of all of them together, I items of the catalogue, E width, V dimensions of a vector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import log
from typing import Annotated, ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from core.errors import UserError
from train.batch import Batch
from train.batches import Batches
from train.histories import END, HISTORY
from train.jagged import Jagged
from train.layers.positions import SPREAD
from train.losses.catalogue import CatalogueLoss, Scored
from train.losses.linear_cross_entropy import linear_cross_entropy
from train.losses.pairwise import softmax
from train.models.retrieve.base import Block, Facts, Reads, Scores, Sizes, Towers, TrainedModel
from train.models.retrieve.mf import Loss
from train.models.sizes import Dropout, Width
from train.negatives.base import Drawn
from train.pairs import ENTITY
from train.precision import in_float32
from train.sequences.batches import SequenceBatches
from train.sequences.windows import inputs_and_next, windows

Longest = Annotated[int, Field(gt=1)]


class NextItemModel(TrainedModel):
    """Settings of every next-item model.

    Attributes:
        embedding_dim: Dimensions of the vectors and of the items' embeddings.
        longest: Items of a history that are read: the newest.
        dropout: Share of hidden units left out in training.
        negatives: Items drawn evenly for each batch that the right ones are told from; 0: the whole catalogue, which is
            better and costs as much as the catalogue is large.
        loss: What is made smaller over the drawn items, each prediction by itself: `bpr`, `bce`, `gbce`,
            `sampled_softmax`; None: the softmax, over them or over the whole catalogue.
        smoothing: Share of the target that is spread evenly over the catalogue; needs all of it.
        bias: Add a number of its own to each item's score: how likely it comes after anything.
    """

    reads: ClassVar[frozenset[Reads]] = frozenset({Reads.HISTORY})
    entity_rows: ClassVar[Mapping[str, tuple[Block, ...]]] = {
        "query.items.table.weight": (Block("items"),),
        "query.items.bias_I": (Block("items"),),
    }

    embedding_dim: Width = 64
    longest: Longest = 50
    dropout: Dropout = 0.2
    negatives: Annotated[int, Field(ge=0)] = 0
    loss: Loss | None = None
    smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    bias: bool = False

    @model_validator(mode="after")
    def _smoothing_fits(self) -> NextItemModel:
        if self.smoothing and self.negatives:
            raise ValueError(
                f"smoothing spreads the target over the whole catalogue, but {self.negatives} negatives are drawn; "
                "set negatives: 0 or smoothing: 0"
            )
        if self.loss and not self.negatives:
            raise ValueError(
                f"the loss {self.loss.kind} compares with drawn items, and none are drawn; set negatives: 256"
            )
        return self

    @property
    def dense_layers(self) -> bool:
        """See `TrainedModel.dense_layers`."""
        return True

    def encoder(self, items: ItemTable) -> Encoder:
        """What turns histories into vectors."""
        raise NotImplementedError

    def build(self, sizes: Sizes) -> Towers:
        """Make the encoder and, as the item side, its own table of items."""
        items = ItemTable(sizes.items, self.embedding_dim, bias=self.bias)
        return NextItemTowers(self.encoder(items))

    def objective(self, module: Towers | Scores, facts: Facts) -> Callable[[Batch], Tensor]:
        """Make the loss: cross-entropy over the whole catalogue, the mean of all predictions of a batch."""
        if not isinstance(module, NextItemTowers):
            raise TypeError(f"an encoder of histories is trained here, got {type(module).__name__}")
        encoder = module.query

        def loss(batch: Batch) -> Tensor:
            state_QE, own_Q = encoder.predictions(batch.lists[HISTORY])
            with in_float32(own_Q.device):
                return self._loss(encoder.items, state_QE.float(), own_Q)

        return loss

    def _loss(self, items: ItemTable, state_QE: Tensor, own_Q: Tensor) -> Tensor:
        """Over the whole catalogue, or over drawn items."""
        if self.negatives:
            drawn_C = torch.randint(items.size, (self.negatives,), device=own_Q.device)
            return against_drawn(items, state_QE, own_Q, drawn_C, self.loss)
        return linear_cross_entropy(state_QE, items.table.weight, own_Q, bias_I=items.bias_I, smoothing=self.smoothing)

    def batches(self, facts: Facts, *, batch_size: int, seed: int) -> Batches:
        """Sequences in which each item but a user's first is a target once.

        Raises:
            UserError: Nobody has two training interactions.
        """
        sequences = windows(facts.histories.at(END), most=self.longest + 1, overlap=1)
        if not len(sequences):
            raise UserError(
                "no user has two positive training interactions, so nothing comes next to anything",
                where="train.retriever.model",
                cure="give the training split a larger share, or choose a model that needs no histories",
            )
        return SequenceBatches(sequences, batch_size, seed=seed)


class ItemTable(nn.Module):
    """One vector an item, for what a history holds and for what comes next: an ordinary dense weight (ADR 0013).

    Args:
        items: Size of the catalogue.
        width: Of a vector.
        bias: Whether each item has a number of its own, which starts at zero.
    """

    bias_I: nn.Parameter | None

    def __init__(self, items: int, width: int, *, bias: bool) -> None:
        super().__init__()
        self.table = nn.Embedding(items, width, _weight=SPREAD * torch.randn(items, width))
        self.bias_I = nn.Parameter(torch.zeros(items)) if bias else None

    @property
    def size(self) -> int:
        """Number of items."""
        return self.table.num_embeddings

    @property
    def width(self) -> int:
        """Width of an embedding."""
        return self.table.embedding_dim

    def forward(self, item_J: Tensor) -> Tensor:
        """Items -> their embeddings, [J, E]."""
        found_JE: Tensor = self.table(item_J)
        return found_JE


def against_drawn(
    items: ItemTable, state_QE: Tensor, own_Q: Tensor, drawn_C: Tensor, loss: CatalogueLoss | None = None
) -> Tensor:
    """Mean loss of each own item against negatives that the whole batch shares; they were drawn evenly.

    Without a `loss` it is -log of the own item's share of the softmax over itself and the negatives.
    """
    own_score_Q = (state_QE * items(own_Q)).sum(dim=1)
    drawn_score_QC = state_QE @ items(drawn_C).T
    if items.bias_I is not None:
        own_score_Q = own_score_Q + items.bias_I[own_Q]
        drawn_score_QC = drawn_score_QC + items.bias_I[drawn_C]
    # The own item may be drawn too: nothing is right and wrong at once.
    wrong_QC = own_Q.unsqueeze(1) == drawn_C
    if loss is None:
        return softmax(own_score_Q, drawn_score_QC, wrong_QC)
    log_chance = log(len(drawn_C) / items.size)
    chances = own_score_Q.new_full(drawn_C.shape, log_chance), own_score_Q.new_full(own_Q.shape, log_chance)
    return loss(Scored(own_score_Q, drawn_score_QC, Drawn(drawn_C, wrong_QC, *chances), items.size))


class Encoder(nn.Module):
    """Histories -> vectors; a subclass says how.

    Args:
        items: The table of items.
        longest: Items of a history that are read.
    """

    def __init__(self, items: ItemTable, *, longest: int) -> None:
        super().__init__()
        self.items, self.longest = items, longest

    def states(self, lists: Jagged) -> Tensor:
        """What is expected behind each element of lists that are no longer than `longest`: [J, E].

        No state depends on what comes behind its element.
        """
        raise NotImplementedError

    def predictions(self, sequences: Jagged) -> tuple[Tensor, Tensor]:
        """What training sequences give to learn from: a state a prediction, [Q, E], and the right item of each."""
        before, own_Q = inputs_and_next(sequences)
        return self.states(before), own_Q

    def final(self, lists: Jagged) -> Tensor:
        """What is expected behind each of B lists: [B, E]; behind an empty one zeros, so that the biases alone rank."""
        recent = lists.last(self.longest)
        state_JE = self.states(recent)
        # One more row, so that an empty list has something to point at; it is masked afterwards.
        state_JE = torch.cat([state_JE, state_JE.new_zeros(1, state_JE.shape[1])])
        newest_B = torch.where(recent.sizes > 0, recent.offsets_B1[1:] - 1, recent.values_J.shape[0])
        return state_JE.index_select(0, newest_B)

    def forward(self, batch: Batch) -> Tensor:
        """Batch with `lists[HISTORY]` -> vector_BV."""
        state_BE = self.final(batch.lists[HISTORY])
        return state_BE if self.items.bias_I is None else torch.cat([state_BE, torch.ones_like(state_BE[:, :1])], dim=1)


class ItemVectors(nn.Module):
    """The item side: rows of the encoder's own table, which stays a weight of the encoder alone."""

    def __init__(self, items: ItemTable) -> None:
        super().__init__()
        self._borrowed = [items]  # in a list, where torch doesn't look for weights

    def forward(self, batch: Batch) -> Tensor:
        """Batch with `extra[ENTITY]` -> vector_BV."""
        items, row_B = self._borrowed[0], batch.extra[ENTITY]
        vector_BE = items(row_B)
        return vector_BE if items.bias_I is None else torch.cat([vector_BE, items.bias_I[row_B].unsqueeze(1)], dim=1)


class NextItemTowers(Towers):
    """An encoder of histories and its table of items."""

    query: Encoder

    def __init__(self, query: Encoder) -> None:
        super().__init__(query, ItemVectors(query.items))
