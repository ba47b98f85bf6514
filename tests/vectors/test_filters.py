"""Temperature, top-k, top-p and min-p: what TypeScript computes too."""

import numpy as np
import pytest

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core.sampling import SamplingSettings, probabilities

HAIR = 1e-6
LOOSE = {"top_p": 1 + HAIR, "min_p": 1 - HAIR}
TIGHT = {"top_p": 1 - HAIR, "min_p": 1 + HAIR}
BY = {"less": 1 - HAIR, "more": 1 + HAIR}


def shaped(logits, **settings):
    return list(probabilities(np.array(logits, dtype=np.float32), SamplingSettings(**settings)))


def close(expected):
    return pytest.approx(expected, rel=1e-12, abs=0)


@pytest.mark.section("rows")
def test_a_row_by_temperature_and_top_k(case):
    for each in case["by_temperature"]:
        assert shaped(case["logits"], temperature=each["temperature"]) == close(each["probabilities"])
    for top_k, expected in enumerate(case["by_top_k"]):
        assert shaped(case["logits"], top_k=top_k) == close(expected)


@pytest.mark.section("edges")
def test_settings_on_the_edge_of_what_they_keep(case, vectors):
    logits = next(row["logits"] for row in vectors["rows"] if row["name"] == case["row"])
    settings = case["settings"]
    loose = settings | {name: settings[name] * LOOSE[name] for name in case["tight"]}
    assert shaped(logits, **loose) == close(case["loose"])
    for name, expected in case["tight"].items():
        assert shaped(logits, **loose | {name: settings[name] * TIGHT[name]}) == close(expected)


@pytest.mark.section("limits")
def test_a_setting_ends_at_its_limit(case):
    name, edge = case["setting"], case["edge"]
    other = {"less": "more", "more": "less"}[case["refused"]]
    for value in (edge, edge * BY[other]):
        SamplingSettings(**{name: value})
    with pytest.raises(EdgedraftError):
        SamplingSettings(**{name: edge * BY[case["refused"]]})


@pytest.mark.section("refused")
def test_a_setting_without_a_meaning(case, refused):
    with refused(case["message"]):
        SamplingSettings(**case["settings"])
