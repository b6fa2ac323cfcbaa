"""Layers that multiply features, against their equations."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from train.batch import Batch, Features
from train.layers import cin
from train.layers.cin import Cin, weighed_products
from train.layers.cross import Cross, MixtureCross, VectorCross
from train.layers.fields import Fields
from train.layers.flat import FlatInput
from train.layers.fm import pair_sum
from train.models import RANKERS


def randn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def test_the_sum_over_pairs_takes_one_pass() -> None:
    vectors_BGE = randn(4, 6, 3)
    expected_B = sum((vectors_BGE[:, i] * vectors_BGE[:, j]).sum(1) for i in range(6) for j in range(i))
    torch.testing.assert_close(pair_sum(vectors_BGE), expected_B)


def test_an_embedded_number_is_the_length_of_its_vector() -> None:
    fields = Fields(Features(("a",), (3,), ("x", "y")), width=4, numbers="embedded")
    vectors_BGE = fields(Batch(torch.tensor([[2]]), torch.tensor([[9.0, -0.5]])))
    assert vectors_BGE.shape == (1, fields.count, 4)
    assert torch.equal(vectors_BGE[0, 0], fields.embedding.weight[2])
    assert torch.equal(vectors_BGE[0, 1:], torch.stack([9.0 * fields.number_DE[0], -0.5 * fields.number_DE[1]]))


@pytest.mark.parametrize("kind", ["fm", "deepfm"])
def test_pairs_say_nothing_before_they_have_learned(kind: str) -> None:
    ids, numbers = tuple(f"c{number}" for number in range(26)), tuple(f"i{number}" for number in range(13))
    module = RANKERS[kind].model_validate({"kind": kind}).build(Features(ids, (10,) * 26, numbers))
    fields = module.fields if kind == "fm" else module.flat.fields
    batch = Batch(torch.randint(0, 10, (50, 26)), torch.randn(50, 13))
    assert pair_sum(fields(batch)).std() < 0.01


@pytest.mark.parametrize(("numbers", "inputs"), [("raw", 4 + 2), ("embedded", 3 * 4)])
def test_numbers_go_in_once(numbers: str, inputs: int) -> None:
    flat = FlatInput(Features(("a",), (3,), ("x", "y")), width=4, numbers=numbers)
    x_BI = flat(Batch(torch.tensor([[2], [0], [1]]), torch.randn(3, 2)))
    assert x_BI.shape == (3, inputs)
    assert flat.outputs == inputs


def test_vector_cross_layers_follow_the_equation() -> None:
    cross = VectorCross(5, layers=4).double()
    torch.nn.init.normal_(cross.bias_LI)
    x_BI = randn(7, 5)
    here_BI = x_BI
    for weight_I, bias_I in zip(cross.weight_LI, cross.bias_LI, strict=True):
        outer_BII = x_BI.unsqueeze(2) * here_BI.unsqueeze(1)
        here_BI = (outer_BII * weight_I).sum(2) + bias_I + here_BI
    torch.testing.assert_close(cross(x_BI), here_BI)


def test_a_mixture_follows_the_equations() -> None:
    inputs, rank, experts = 6, 3, 4
    cross = MixtureCross(inputs, layers=2, rank=rank, experts=experts).double()
    x_BI = randn(5, inputs)
    here_BI = x_BI
    for layer in cross.layers:
        torch.nn.init.normal_(layer.up.bias)
        gate_BK = torch.softmax(here_BI @ layer.gate.weight.T + layer.gate.bias, 1)
        total_BI = torch.zeros_like(x_BI)
        for expert in range(experts):
            rows = slice(expert * rank, (expert + 1) * rank)
            inner_BR = torch.tanh(torch.tanh(here_BI @ layer.down.weight[rows].T) @ layer.inner_KRR[expert].T)
            weighed_BI = inner_BR @ layer.up.weight[:, rows].T + layer.up.bias
            total_BI += gate_BK[:, expert : expert + 1] * x_BI * weighed_BI
        here_BI = total_BI + here_BI
    torch.testing.assert_close(cross(x_BI), here_BI)


def test_one_plain_expert_is_the_thin_product() -> None:
    mixture = MixtureCross(6, layers=2, rank=3, experts=1, activation="none")
    thin = Cross(6, layers=2, rank=3)
    with torch.no_grad():
        for layer, (down, up) in zip(mixture.layers, thin.weights, strict=True):
            layer.inner_KRR.copy_(torch.eye(3).unsqueeze(0))
            down.weight.copy_(layer.down.weight)
            up.weight.copy_(layer.up.weight)
            up.bias.copy_(layer.up.bias.normal_())
    x_BI = torch.randn(5, 6)
    torch.testing.assert_close(mixture(x_BI), thin(x_BI))


def naive_cin(net: Cin, vectors_BGE: Tensor, *, split: bool) -> Tensor:
    """The network map by map, pair by pair."""
    here, found = list(vectors_BGE.unbind(1)), []
    first = list(here)
    for place, weight_OP in enumerate(net.weights):
        maps = []
        for weight_P in weight_OP:
            weight_HG = weight_P.view(len(here), len(first))
            pairs = [(h, g) for h in range(len(here)) for g in range(len(first))]
            maps.append(sum(weight_HG[h, g] * here[h] * first[g] for h, g in pairs))
        half = len(maps) // 2
        last = place == len(net.weights) - 1
        found += maps[half:] if split and not last else maps
        here = maps[:half] if split else maps
    return torch.stack([one.sum(1) for one in found], 1)


@pytest.mark.parametrize("split", [True, False])
@pytest.mark.parametrize("elements", [1, 100, 1_000_000])
def test_the_compressed_interactions_are_a_naive_loop(
    split: bool, elements: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cin, "ELEMENTS", elements)
    net = Cin(5, (4, 6, 3), split=split).double()
    vectors_BGE = randn(3, 5, 2).requires_grad_()
    found_BO, expected_BO = net(vectors_BGE), naive_cin(net, vectors_BGE, split=split)
    assert found_BO.shape == (3, net.outputs)
    torch.testing.assert_close(found_BO, expected_BO)
    into = [vectors_BGE, *net.weights]
    wanted = torch.autograd.grad(expected_BO.square().sum(), into)
    for found, expected in zip(torch.autograd.grad(found_BO.square().sum(), into), wanted, strict=True):
        torch.testing.assert_close(found, expected)


def test_an_odd_number_of_maps_and_a_single_one_work() -> None:
    assert Cin(5, (1, 1))(torch.randn(3, 5, 2)).shape == (3, 2)
    assert Cin(5, (5, 3))(torch.randn(3, 5, 2)).shape == (3, 3 + 3)


def test_products_have_right_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cin, "ELEMENTS", 30)
    given = (randn(7, 3).requires_grad_(), randn(7, 4).requires_grad_(), randn(2, 12).requires_grad_())
    assert torch.autograd.gradcheck(weighed_products, given)


def test_products_of_all_rows_are_never_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, products = [], cin._products

    def watched(left_NH: Tensor, right_NG: Tensor) -> Tensor:
        made = products(left_NH, right_NG)
        sizes.append(made.numel())
        return made

    monkeypatch.setattr(cin, "_products", watched)
    monkeypatch.setattr(cin, "ELEMENTS", 1000)
    net = Cin(10, (8, 8))
    net(torch.randn(100, 10, 4, requires_grad=True)).sum().backward()
    assert max(sizes) <= 1000
    # Each layer's, twice: for the maps and for the gradients.
    assert sum(sizes) == 2 * 400 * (10 * 10 + 4 * 10)


def test_products_under_autocast_are_those_of_float32_rounded() -> None:
    net, vectors_BGE = Cin(6, (8, 4)), torch.randn(5, 6, 4, requires_grad=True)
    exact = net(vectors_BGE)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = net(vectors_BGE)
    assert (rounded.float() - exact).norm() < 0.02 * exact.norm()
    rounded.float().sum().backward()
    assert all(weight.grad.dtype == torch.float32 and weight.grad.isfinite().all() for weight in net.weights)
