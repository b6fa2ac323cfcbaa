"""Next-item models hold the contracts."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from tests.contract.next_item import NextItemContract
from tests.contract.retrievers import RetrieverContract
from train.batch import Features
from train.jagged import Jagged
from train.models.next_item import NEXT_ITEM
from train.models.next_item.bert4rec import Bert4RecSpec
from train.models.next_item.caser import CaserSpec
from train.models.next_item.gru4rec import Gru4RecSpec
from train.models.next_item.sasrec import SasRecSpec
from train.models.retrieve.base import Sizes
from train.spec import RetrieverSpec

SASREC = SasRecSpec(embedding_dim=16, heads=2, dropout=0.1)
BERT4REC = Bert4RecSpec(embedding_dim=16, blocks=1, dropout=0.0, masked=0.2, last=0.6)
GRU4REC = Gru4RecSpec(embedding_dim=16, dropout=0.1)
CASER = CaserSpec(embedding_dim=16, dropout=0.1, window=3, horizontal=4, vertical=2)


class TestSasRec(NextItemContract, model=SASREC):
    """Causal attention."""


class TestBert4Rec(NextItemContract, model=BERT4REC, causal=False):
    """Attention to both sides of gaps."""

    epochs = 25


class TestGru4Rec(NextItemContract, model=GRU4REC):
    """GRU cells."""


class TestDeepLstm(
    NextItemContract, model=Gru4RecSpec(embedding_dim=16, cell="lstm", layers=2, hidden=24, dropout=0.1)
):
    """LSTM cells, two layers, of a width of their own."""

    epochs = 8


class TestCaser(NextItemContract, model=CASER):
    """Both kinds of filters."""


class _InFewRows(RetrieverContract, model=SASREC):
    """With several steps an epoch: the clubs are few sequences."""

    @property
    def spec(self) -> RetrieverSpec:
        """See `RetrieverContract.spec`."""
        return super().spec.model_copy(update={"batch_size": 16})


class TestSasRecAsRetriever(_InFewRows, model=SASREC):
    """As every candidate generator."""


class TestBert4RecAsRetriever(_InFewRows, model=BERT4REC):
    """As every candidate generator."""


class TestGru4RecAsRetriever(_InFewRows, model=GRU4REC):
    """As every candidate generator."""


class TestCaserAsRetriever(_InFewRows, model=CASER):
    """As every candidate generator."""


def test_every_model_has_its_contracts() -> None:
    alone = {test.model.kind for test in NextItemContract.__subclasses__()}
    beside = {test.model.kind for test in _InFewRows.__subclasses__()}
    assert alone == set(NEXT_ITEM)
    assert alone == beside


@pytest.mark.parametrize(
    ("kind", "settings", "told"),
    [
        ("sasrec", {"embedding_dim": 10, "heads": 4}, "set heads to 2"),
        ("caser", {"horizontal": 0, "vertical": 0}, "neither horizontal nor vertical"),
        ("gru4rec", {"negatives": 5, "smoothing": 0.1}, "set negatives: 0 or smoothing: 0"),
        ("gru4rec", {"cell": "elman"}, "'gru' or 'lstm'"),
    ],
)
def test_settings_that_do_not_fit_are_told(kind: str, settings: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        NEXT_ITEM[kind].model_validate({"kind": kind, **settings})


def test_items_of_bert4rec_are_made_larger_and_its_gap_is_not() -> None:
    spec = Bert4RecSpec(embedding_dim=16, blocks=2, dropout=0.0, masked=1.0, last=0.0)
    none = Features((), (), ())
    encoder = spec.build(Sizes(none, none, 2, 9)).query
    seen: list[Tensor] = []
    encoder.transformer.blocks[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    encoder.final(Jagged.of([[3]]))
    encoder.predictions(Jagged.of([[3, 5]]))
    served_JE, trained_JE = (x_JE - encoder.positions.table.weight[:2] for x_JE in seen)
    torch.testing.assert_close(served_JE, torch.stack([4.0 * encoder.items(torch.tensor(3)), encoder.gap_E]))
    torch.testing.assert_close(trained_JE, encoder.gap_E.expand(2, -1))
