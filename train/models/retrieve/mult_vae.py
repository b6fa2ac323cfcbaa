"""Mult-VAE: what a user will like, from all that the user liked, by a variational autoencoder.

Source: Liang et al., 2018, Variational Autoencoders for Collaborative Filtering.

Shapes: B users, J items of all their histories, I items, H hidden units, Z dimensions of the latent vector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from train.batch import Batch
from train.batches import Batches
from train.histories import END, HISTORY
from train.jagged import Jagged, pooled
from train.layers.embedding import FusedEmbedding
from train.layers.mlp import linear
from train.models.retrieve.base import Block, Facts, Reads, Scores, Sizes, Towers, TrainedModel
from train.models.retrieve.users import UserLoader
from train.models.sizes import Dropout, Width
from train.pairs import ENTITY

Updates = Annotated[int, Field(gt=0)]


class MultVaeSpec(TrainedModel):
    """Settings of Mult-VAE; by default as in its paper. A batch is of users.

    Attributes:
        hidden: Hidden units of the encoder and of the decoder.
        latent: Dimensions of the latent vector.
        dropout: Share of a user's items left out of the input in training.
        variational: Draw the latent vector, and keep it near a normal one; false: Mult-DAE, which does neither.
        beta: Weight of the Kullback-Leibler divergence in the end.
        anneal: Steps over which that weight would rise from 0 to 1; it stops rising at `beta`.
    """

    kind: Literal["mult_vae"] = "mult_vae"
    reads: ClassVar[frozenset[Reads]] = frozenset({Reads.HISTORY})
    entity_rows: ClassVar[Mapping[str, tuple[Block, ...]]] = {
        "query.encoder.table.table.weight": (Block("items"),),
        "item.out.weight": (Block("items"),),
        "item.out.bias": (Block("items"),),
    }
    hidden: Width = 600
    latent: Width = 200
    dropout: Dropout = 0.5
    variational: bool = True
    beta: Annotated[float, Field(ge=0.0)] = 0.2
    anneal: Updates = 200_000

    @property
    def dense_layers(self) -> bool:
        """See `TrainedModel.dense_layers`."""
        return True

    def build(self, sizes: Sizes) -> Towers:
        """Make fresh weights."""
        width = 2 * self.latent if self.variational else self.latent
        encoder = Encoder(sizes.items, self.hidden, width, dropout=self.dropout)
        return Autoencoder(Query(encoder, self.latent, self.hidden), Decoder(sizes.items, self.hidden))

    def batches(self, facts: Facts, *, batch_size: int, seed: int) -> Batches:
        """Users with what they liked."""
        return UserLoader(facts.histories.at(END), batch_size, seed=seed)

    def objective(self, module: Towers | Scores, facts: Facts) -> Callable[[Batch], Tensor]:
        """Make the loss of a batch of users."""
        if not isinstance(module, Autoencoder):
            raise TypeError(f"both halves are trained together, got {type(module).__name__}")
        query, decoder = module.query, module.item

        def loss(batch: Batch) -> Tensor:
            history = batch.lists[HISTORY]
            mean_BZ, log_variance_BZ = query.encoded(history)
            if log_variance_BZ is None:
                return multinomial(decoder.scores(query.decoded(mean_BZ)).float(), history)
            mean_BZ, log_variance_BZ = mean_BZ.float(), log_variance_BZ.float()
            latent_BZ = mean_BZ + torch.randn_like(mean_BZ) * (0.5 * log_variance_BZ).exp()
            module.updates += 1
            weight = (module.updates / self.anneal).clamp(max=self.beta)
            wanted = multinomial(decoder.scores(query.decoded(latent_BZ)).float(), history)
            return wanted + weight * divergence(mean_BZ, log_variance_BZ)

        return loss


class Encoder(nn.Module):
    """What was liked -> mean of the latent vector, and behind it the log of its variance."""

    def __init__(self, items: int, hidden: int, width: int, *, dropout: float) -> None:
        super().__init__()
        self.table, self.bias_H = FusedEmbedding([items], hidden), nn.Parameter(torch.zeros(hidden))
        self.out, self.dropout = linear(hidden, width), dropout

    def forward(self, history: Jagged) -> Tensor:
        """Lists -> [B, width]; an item's weight is 1 / sqrt(size), so that a user's input has length one."""
        # The sum of the items' rows of the first weight: the product with a row of zeros and ones, without the zeros.
        weight_J = history.sizes.clamp(min=1).to(torch.float32).rsqrt()[history.owners()]
        weight_J = nn.functional.dropout(weight_J, self.dropout, training=self.training)
        element_JH = self.table.of(0, history.values_J) * weight_J.unsqueeze(1)
        width: Tensor = self.out(torch.tanh(pooled(element_JH, history, mean=False) + self.bias_H))
        return width


class Query(nn.Module):
    """A history -> the last hidden layer of the decoder, and a one for the item's bias."""

    def __init__(self, encoder: Encoder, latent: int, hidden: int) -> None:
        super().__init__()
        self.encoder, self.middle, self.latent = encoder, linear(latent, hidden), latent

    def encoded(self, history: Jagged) -> tuple[Tensor, Tensor | None]:
        """Mean and log variance of the latent vector, [B, Z] each; no variance in an autoencoder without noise."""
        both = self.encoder(history)
        mean_BZ, log_variance_BZ = both[:, : self.latent], both[:, self.latent :]
        return mean_BZ, log_variance_BZ if log_variance_BZ.shape[1] else None

    def decoded(self, latent_BZ: Tensor) -> Tensor:
        """The decoder's hidden layer, [B, H]."""
        return torch.tanh(self.middle(latent_BZ))

    def forward(self, batch: Batch) -> Tensor:
        """Batch with `lists[HISTORY]` -> vector_BV, by the mean of the latent vector."""
        hidden_BH = self.decoded(self.encoded(batch.lists[HISTORY])[0])
        return torch.cat([hidden_BH, torch.ones_like(hidden_BH[:, :1])], dim=1)


class Decoder(nn.Module):
    """The last layer: an item's weights and bias are its vector."""

    def __init__(self, items: int, hidden: int) -> None:
        super().__init__()
        self.out = linear(hidden, items)

    def scores(self, hidden_BH: Tensor) -> Tensor:
        """score_BI of every item."""
        score_BI: Tensor = self.out(hidden_BH)
        return score_BI

    def forward(self, batch: Batch) -> Tensor:
        """Batch with `extra[ENTITY]` -> vector_BV."""
        row_B = batch.extra[ENTITY]
        return torch.cat([self.out.weight[row_B], self.out.bias[row_B].unsqueeze(1)], dim=1)


class Autoencoder(Towers):
    """Both halves, and how many steps they were trained."""

    query: Query
    item: Decoder
    updates: Tensor

    def __init__(self, query: Query, item: Decoder) -> None:
        super().__init__(query, item)
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))


def multinomial(score_BI: Tensor, wanted: Jagged) -> Tensor:
    """Mean over users of -sum log softmax of their items (equation 2); an item that comes twice counts twice.

    Example:
        >>> round(multinomial(torch.zeros(2, 4), Jagged.of([[0, 3], []])).exp().item(), 4)  # 4 * 4, over two users
        4.0
    """
    all_B = torch.logsumexp(score_BI, dim=1)
    place_J = wanted.owners() * score_BI.shape[1] + wanted.values_J
    own = score_BI.flatten().index_select(0, place_J).sum()
    return ((all_B * wanted.sizes).sum() - own) / len(wanted)


def divergence(mean_BZ: Tensor, log_variance_BZ: Tensor) -> Tensor:
    """Mean over users of the Kullback-Leibler divergence from the standard normal (Kingma & Welling, 2014).

    Example:
        >>> divergence(torch.tensor([[2.0, 0.0]]), torch.zeros(1, 2))
        tensor(2.)
    """
    terms_BZ = mean_BZ.square() + log_variance_BZ.exp() - 1.0 - log_variance_BZ
    return 0.5 * terms_BZ.sum(dim=1).mean()
