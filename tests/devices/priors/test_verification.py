"""The law of verification costs: the first that fits counts, its range is an 80 % interval, and each has a source."""

import math

import pytest

from edgedraft.devices.latency import NORMAL_80
from edgedraft.devices.priors.verification import (
    VerificationCost,
    VerificationTable,
    read_verification,
    shipped_verification,
)
from edgedraft.runtime.base.errors import EdgedraftError


def cost(provider="cpu", hardware="any", precision="any", low=0.1, high=0.4):
    return VerificationCost(
        provider=provider, hardware=hardware, precision=precision, low=low, high=high, source="made up"
    )


def test_low_and_high_are_the_ends_of_an_80_percent_interval():
    told = cost()
    assert told.slope == pytest.approx(0.2)
    assert told.slope * math.exp(NORMAL_80 * told.sigma) == pytest.approx(0.4)
    assert told.slope * math.exp(-NORMAL_80 * told.sigma) == pytest.approx(0.1)


def test_the_first_that_fits_counts():
    special, usual = cost(hardware="amd", precision="int4"), cost()
    table = VerificationTable(cost=(special, usual), bytes_per_weight={})
    assert table.of("cpu", "amd", "int4") is special
    assert table.of("cpu", "amd", "int8") is usual
    assert table.of("cpu", None, "int4") is usual
    with pytest.raises(EdgedraftError) as error:
        table.of("gpu", "amd", "int4")
    assert str(error.value) == "verification cost: none for int4 on gpu (amd)"


def test_every_class_has_a_shipped_cost_and_flat_precisions_cost_less():
    table = shipped_verification()
    slopes = {name: table.of("cpu", "x86", name).slope for name in table.bytes_per_weight}
    assert list(slopes) == ["int4", "int4-block32", "int8", "int8-dynamic", "fp32"]
    assert slopes["int4"] > slopes["int8"] > slopes["int8-dynamic"] > slopes["fp32"]
    for hardware in ("amd", "apple", "nvidia", None):
        assert table.of("gpu", hardware, "int4").source


def test_a_range_that_runs_backwards_is_refused(tmp_path):
    path = tmp_path / "costs.toml"
    entry = '{provider="cpu", hardware="any", precision="any", low=0.5, high=0.1, source="x"}'
    path.write_text(f"cost = [{entry}]\nbytes_per_weight = {{}}\n", encoding="utf-8")
    with pytest.raises(EdgedraftError) as error:
        read_verification(path)
    assert str(error.value) == "verification cost of any on cpu (any): expected 0 < low <= high, got (0.5, 0.1)"
