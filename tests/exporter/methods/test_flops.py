"""The FLOPs of the paper's drafter, to every printed digit, and what its head takes of them."""

import pytest

from edgedraft.exporter.methods.flops import EagleShape, LinearCost, drafter_cost
from edgedraft.runtime.base.errors import EdgedraftError

LLAMA_8B = EagleShape(hidden=4096, intermediate=14336, heads=32, kv_heads=8, target_vocab_size=128256)


def test_parts_and_total_of_the_papers_drafter():
    flops = LLAMA_8B.flops(128256)
    assert flops.fc == 100_663_296
    assert flops.attention == 134_217_728
    assert flops.mlp == 352_321_536
    assert flops.head == 1_050_673_152
    assert flops.total == 1_637_875_712
    assert f"{flops.head / flops.total:.2%}" == "64.15%"


@pytest.mark.parametrize(
    ("size", "reduction"),
    [
        (50, "0.64124"),
        (1000, "0.63648"),
        (4096, "0.62100"),
        (8192, "0.60051"),
        (13264, "0.57514"),
        (16384, "0.55954"),
        (32000, "0.48143"),
        (32768, "0.47759"),
        (50000, "0.39141"),
        (65536, "0.31370"),
        (128256, "0.00000"),
    ],
)
def test_latency_reduction_of_the_papers_drafter(size, reduction):
    assert f"{LLAMA_8B.cost.reduction(size, 128256):.5f}" == reduction


@pytest.mark.parametrize(
    ("hidden", "intermediate", "heads", "vocab_size", "share"),
    [
        (3072, 8192, 24, 128256, "73.1%"),
        (2048, 8192, 32, 128256, "76.7%"),
        (4096, 12288, 32, 151936, "69.9%"),
    ],
    ids=["Llama-3.2-3B", "Llama-3.2-1B", "Qwen3-8B"],
)
def test_head_shares_of_drafters_for_other_models(hidden, intermediate, heads, vocab_size, share):
    shape = EagleShape(hidden=hidden, intermediate=intermediate, heads=heads, kv_heads=8, target_vocab_size=vocab_size)
    flops = shape.flops(vocab_size)
    assert f"{flops.head / flops.total:.1%}" == share


def test_the_linear_cost_says_what_the_parts_sum_to():
    for size in (1, 50, 13264, 128256):
        assert LLAMA_8B.cost.of(size) == LLAMA_8B.flops(size).total


@pytest.mark.parametrize(("hidden", "parameters"), [(3072, 394_002_432), (1024, 131_334_144)])
def test_a_head_costs_two_flops_for_each_of_its_parameters(hidden, parameters):
    """The parameters are those that VocabTrim, arXiv 2506.22694, gives for heads of these widths."""
    shape = EagleShape(hidden=hidden, intermediate=8192, heads=8, kv_heads=8, target_vocab_size=128256)
    assert shape.flops(128256).head == 2 * parameters
    assert drafter_cost(0, hidden).of(128256) == 2 * parameters


def test_an_independent_drafter_pays_two_flops_for_each_parameter():
    cost = drafter_cost(parameters_without_head=1_000_000, hidden=1024)
    assert cost == LinearCost(fixed=2_000_000, per_token=2048)
    assert cost.reduction(250, 1000) == 1 - 2_512_000 / 4_048_000


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"heads": 0}, "drafter's shape: heads: expected 1 or more, got 0"),
        ({"intermediate": -1}, "drafter's shape: intermediate: expected 1 or more, got -1"),
        ({"heads": 24}, "drafter's shape: hidden: expected a multiple of 24 heads, got 4096"),
    ],
)
def test_impossible_shapes_are_refused(changes, error):
    sizes = {"hidden": 4096, "intermediate": 14336, "heads": 32, "kv_heads": 8, "target_vocab_size": 128256}
    with pytest.raises(EdgedraftError) as raised:
        EagleShape(**sizes | changes)
    assert str(raised.value) == error


@pytest.mark.parametrize(
    ("fixed", "per_token", "error"),
    [
        (-1.0, 1.0, "cost: fixed: expected 0 or more, got -1.0"),
        (1.0, 0.0, "cost: per_token: expected more than 0, got 0.0"),
    ],
)
def test_impossible_costs_are_refused(fixed, per_token, error):
    with pytest.raises(EdgedraftError) as raised:
        LinearCost(fixed=fixed, per_token=per_token)
    assert str(raised.value) == error
