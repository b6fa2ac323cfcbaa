"""Lists that hold ids of another feature: what a row's user met before."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
import torch

from train.batch import Batch, Features, ListFeature
from train.jagged import Jagged
from train.layers.fields import Fields
from train.layers.linear import SparseLinear
from train.model_directory import features_of

FEATURES = Features(
    ("user", "item"),
    (4, 9),
    (),
    (ListFeature("tags", 5), ListFeature("history.item", 9, of="item"), ListFeature("years", 3)),
)
MET = Jagged.of([[8, 2], []])
BATCH = Batch(
    torch.tensor([[1, 8], [3, 0]]),
    torch.zeros(2, 0),
    lists={"tags": Jagged.of([[4], [0]]), "history.item": MET, "years": Jagged.of([[2], [1]])},
)


def test_a_history_reads_the_rows_of_its_feature():
    fields = Fields(FEATURES, width=2)
    assert len(fields.embedding.weight) == 4 + 9 + 5 + 3
    assert fields.count == 5
    vectors_BGE, weight = fields(BATCH), fields.embedding.weight
    assert torch.equal(vectors_BGE[0, 1], weight[4 + 8])  # the item itself
    assert torch.equal(vectors_BGE[0, 2], weight[4 + 9 + 4])
    torch.testing.assert_close(vectors_BGE[0, 3], (weight[4 + 8] + weight[4 + 2]) / 2)
    assert torch.equal(vectors_BGE[1, 3], torch.zeros(2))
    assert torch.equal(vectors_BGE[0, 4], weight[4 + 9 + 5 + 2])


def test_a_linear_weight_of_what_was_met_is_not_that_of_the_item():
    linear = SparseLinear(FEATURES)
    linear(BATCH).sum().backward()
    gradient = linear.ids.embedding.weight.grad.to_dense()
    assert len(gradient) == 4 + 9 + 5 + 9 + 3
    assert gradient[4 + 8] == 1.0
    assert gradient[4 + 9 + 5 + 8] == 0.5


def test_histories_are_known_apart_and_survive_json():
    assert [one.name for one in FEATURES.history] == ["history.item"]
    assert features_of(json.loads(json.dumps(asdict(FEATURES)))) == FEATURES
    old = {"categorical": ["id"], "cardinalities": [5], "continuous": [], "lists": [{"name": "t", "cardinality": 3}]}
    assert features_of(old).lists == (ListFeature("t", 3),)


@pytest.mark.parametrize("met", [ListFeature("met", 9, of="shop"), ListFeature("met", 8, of="item")])
def test_a_history_of_what_is_no_feature_is_refused(met):
    with pytest.raises(ValueError, match=f"the list met has {met.cardinality} ids of the feature {met.of}"):
        Features(("item",), (9,), (), (met,))
