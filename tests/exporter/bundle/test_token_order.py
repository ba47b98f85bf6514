"""The law of the kept order: it is read back as it was written, or refused; what was not weighed is not known."""

import numpy as np
import pytest

from edgedraft.exporter.bundle.token_order import (
    SizeForecast,
    SizeForecasts,
    TokenOrder,
    read_token_order,
    write_token_order,
)
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.tensors import read_tensors, write_tensors


@pytest.fixture
def order() -> TokenOrder:
    coverage = np.array([[0.5, 0.25, 0.75], [1.0, 1.0, 1.0]])
    speeds = np.array([[20.0, 2.5, 0.5, 0.25, 0.5], [18.0, 2.75, 0.625, 0.5, 0.75]])
    forecasts = SizeForecasts(sizes=np.array([64, 96]), coverage=coverage, speeds=speeds)
    return TokenOrder(token_ids=np.random.default_rng(0).permutation(96), forecasts=forecasts)


def test_an_order_is_read_back_as_it_was_written(order, tmp_path):
    write_token_order(tmp_path / "order.safetensors", order)
    found = read_token_order(tmp_path / "order.safetensors")
    assert found.token_ids.dtype == np.int64
    for mine, theirs in (
        (order.token_ids, found.token_ids),
        (order.forecasts.sizes, found.forecasts.sizes),
        (order.forecasts.coverage, found.forecasts.coverage),
        (order.forecasts.speeds, found.forecasts.speeds),
    ):
        assert np.array_equal(mine, theirs)


def test_the_first_tokens_of_the_order_are_kept(order):
    kept = order.kept(10)
    assert kept.target_ids.tolist() == sorted(order.token_ids[:10].tolist())
    assert kept.target_vocab_size == 96


def test_only_weighed_sizes_were_foreseen(order):
    assert order.forecasts.at(64) == SizeForecast(
        coverage=0.5,
        coverage_low=0.25,
        coverage_high=0.75,
        tokens_per_second=20.0,
        block_efficiency=2.5,
        acceptance_rate=0.5,
        drafter_pass_seconds=(0.25, 0.5),
    )
    assert order.forecasts.at(65) is None


def test_an_order_that_lacks_a_token_is_refused_with_its_file(order, tmp_path):
    path = tmp_path / "order.safetensors"
    write_token_order(path, order)
    tensors, _ = read_tensors(path)
    tensors["token_ids"][3] = tensors["token_ids"][4]
    write_tensors(path, tensors)
    with pytest.raises(EdgedraftError) as error:
        read_token_order(path)
    assert str(error.value) == f"{path}: token order: expected every token once, got 96 ids - export the bundle again"


def test_a_file_that_lacks_a_part_is_refused(order, tmp_path):
    path = tmp_path / "order.safetensors"
    write_token_order(path, order)
    tensors, _ = read_tensors(path)
    write_tensors(path, {name: tensors[name] for name in ("token_ids", "sizes")})
    with pytest.raises(EdgedraftError) as error:
        read_token_order(path)
    assert str(error.value) == f"{path}: no tensor coverage, foreseen, got sizes, token_ids"


def test_tables_that_do_not_fit_the_sizes_are_refused(order):
    with pytest.raises(EdgedraftError) as error:
        SizeForecasts(sizes=np.array([64]), coverage=order.forecasts.coverage, speeds=order.forecasts.speeds)
    assert str(error.value) == "forecasts: expected shapes ((1, 3), (1, 5)), got ((2, 3), (2, 5))"
