"""The next-item models, by the name they have in YAML: their query is a history."""

from __future__ import annotations

from train.models.next_item.bert4rec import Bert4RecSpec
from train.models.next_item.caser import CaserSpec
from train.models.next_item.gru4rec import Gru4RecSpec
from train.models.next_item.sasrec import SasRecSpec
from train.models.retrieve.base import RetrieverModel

NEXT_ITEM: dict[str, type[RetrieverModel]] = {
    "sasrec": SasRecSpec,
    "gru4rec": Gru4RecSpec,
    "bert4rec": Bert4RecSpec,
    "caser": CaserSpec,
}
