"""Layers against their definitions."""

from __future__ import annotations

import pytest
import torch

from train.batch import Batch, Features
from train.layers.cross import Cross
from train.layers.embedding import FusedEmbedding
from train.layers.flat import FlatInput
from train.layers.interaction import DotInteraction
from train.layers.linear import SparseLinear

SIZES = (3, 5, 2)


def test_each_feature_reads_its_own_rows() -> None:
    table = FusedEmbedding(SIZES, 4)
    ids_BF = torch.tensor([[2, 4, 1], [0, 0, 0]])
    separate = torch.split(table.weight, SIZES)
    for feature, rows in enumerate(separate):
        assert torch.equal(table(ids_BF)[:, feature], rows[ids_BF[:, feature]])


@pytest.mark.parametrize("ids", [[[3, 0, 0]], [[0, 5, 0]], [[0, -1, 0]]])
def test_an_id_of_another_table_is_refused(ids: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="must lie in"):
        FusedEmbedding(SIZES, 4)(torch.tensor(ids))


def test_rows_of_large_tables_start_small() -> None:
    small, large = torch.split(FusedEmbedding((4, 10_000), 16).weight, (4, 10_000))
    assert 0.1 < small.abs().max() <= 0.25
    assert 0.009 < large.abs().max() <= 0.01


def test_int32_and_int64_ids_are_one() -> None:
    table = FusedEmbedding(SIZES, 4)
    ids_BF = torch.tensor([[2, 4, 1]])
    assert torch.equal(table(ids_BF), table(ids_BF.int()))


def test_the_linear_layer_is_a_sum_of_weights() -> None:
    layer = SparseLinear(Features(("a", "b"), (3, 5), ("x",)))
    with torch.no_grad():
        layer.bias.fill_(0.5)
        layer.dense_D.fill_(2.0)
        layer.ids.embedding.weight.copy_(torch.arange(8.0).unsqueeze(1))
    assert layer(Batch(torch.tensor([[1, 2]]), torch.tensor([[3.0]]))).tolist() == [0.5 + 6.0 + 1.0 + (3 + 2)]


def test_flat_input_puts_embeddings_before_numbers() -> None:
    flat = FlatInput(Features(("a", "b"), (3, 5), ("x",)), width=4)
    x_BI = flat(Batch(torch.tensor([[1, 2]]), torch.tensor([[9.0]])))
    assert x_BI.shape == (1, flat.outputs)
    assert torch.equal(x_BI[0, :4], flat.fields.embedding.weight[1])
    assert torch.equal(x_BI[0, 4:8], flat.fields.embedding.weight[3 + 2])
    assert x_BI[0, 8] == 9.0


def test_cross_layers_follow_the_equation() -> None:
    cross = Cross(3, layers=2)
    x_BI = torch.randn(5, 3)
    expected = x_BI
    for layer in cross.weights:
        expected = x_BI * (expected @ layer.weight.T + layer.bias) + expected
    torch.testing.assert_close(cross(x_BI), expected)


def test_thin_cross_weights_are_thin() -> None:
    assert sum(weight.numel() for weight in Cross(100, layers=1, rank=2).parameters()) == 2 * 100 * 2 + 100


def test_interaction_is_every_pair_once() -> None:
    vectors_BGE = torch.randn(4, 5, 3)
    found_BP = DotInteraction(5)(vectors_BGE)
    expected = [(vectors_BGE[:, i] * vectors_BGE[:, j]).sum(1) for i in range(5) for j in range(i)]
    torch.testing.assert_close(found_BP, torch.stack(expected, 1))


@pytest.mark.parametrize("vectors", [1, 2, 5])
def test_pairwise_products_have_right_gradients(vectors: int) -> None:
    vectors_BGE = torch.randn(3, vectors, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(DotInteraction(vectors), vectors_BGE.requires_grad_())
