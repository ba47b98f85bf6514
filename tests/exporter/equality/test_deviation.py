"""How differences of logits are measured and reported, and which configurations have far borders."""

from types import SimpleNamespace

import numpy as np
import pytest

from edgedraft.exporter.equality import comparing
from edgedraft.exporter.equality.borders import has_far_border
from edgedraft.exporter.equality.checking import check_weights
from edgedraft.exporter.equality.deviation import CheckedRows, Deviation, largest_deviation
from edgedraft.exporter.equality.passes import checked_passes
from edgedraft.exporter.equality.result import EqualityResult
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core.model import Pass


@pytest.fixture
def reference():
    rows = np.random.default_rng(0).normal(5.0, 2.0, (6, 40)).astype(np.float32)
    return (rows - rows.mean()) / rows.std() * 2.0  # a standard deviation of 2


def rows(what, start, logits):
    return CheckedRows(what=what, start=start, logits=logits)


def test_the_largest_difference_is_a_share_of_the_deviation_with_its_place(reference):
    other = reference.copy()
    other[4, 7] -= 0.5
    found = largest_deviation(reference, [rows("in one pass", 0, reference), rows("in pieces", 3, other[3:])])
    assert (found.position, found.what, found.tokens) == (4, "in pieces", 6)
    assert found.share == pytest.approx(0.25, rel=1e-3)
    assert found.told == "25.00% of their standard deviation at token 5 of 6, read in pieces"


def test_equal_logits_do_not_deviate(reference):
    assert largest_deviation(reference, [rows("in one pass", 0, reference.copy())]).share == 0


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_deviates_without_bound(reference, wrong):
    other = reference.copy()
    other[2, 0] = wrong
    found = largest_deviation(reference, [rows("in one pass", 0, other)])
    assert (found.share > 1e9, found.position) == (True, 2)


def test_tokens_that_both_exclude_are_equal(reference):
    reference[:, 3] = -np.inf
    assert largest_deviation(reference, [rows("in one pass", 0, reference.copy())]).share == 0


def test_another_width_is_refused(reference):
    with pytest.raises(EdgedraftError, match=r"logits of shape \(6, 40\) expected, got \(6, 39\)"):
        largest_deviation(reference, [rows("in one pass", 0, reference[:, 1:])])


def test_a_source_that_gives_no_numbers_is_refused(reference):
    with pytest.raises(EdgedraftError) as error:
        largest_deviation(reference * np.nan, [rows("in one pass", 0, reference)])
    assert str(error.value) == "the source's own logits are not numbers - check its weights"


class Counter:
    """A model whose logits tell how many tokens precede each token, and which passes it ran."""

    context_length = 100

    def __init__(self):
        self.token_ids, self.passes = [], []

    @property
    def length(self):
        return len(self.token_ids)

    def read(self, token_ids):
        start = self.length
        self.token_ids += token_ids
        self.passes.append((start, len(token_ids)))
        return Pass(logits=np.array([[start + place, token] for place, token in enumerate(token_ids)], np.float32))

    def rewind(self, length):
        del self.token_ids[length:]


def test_every_way_to_read_is_compared_token_by_token():
    """One pass, pieces as of a prompt and, after a rejected draft, single steps and drafts."""
    model, ids = Counter(), list(range(100, 200))
    seen = {}
    for part in checked_passes(model, ids):
        for place, row in enumerate(part.logits):
            assert row.tolist() == [part.start + place, ids[part.start + place]]
            seen.setdefault(part.what, []).append(part.start + place)
    whole = list(range(100))
    assert seen == {"in one pass": whole, "in pieces": whole, "after a rewind": whole[75:]}
    pieces, drafts = [(0, 32), (32, 32), (64, 32), (96, 4)], [(77, 5), (82, 5), (87, 5), (92, 5), (97, 3)]
    assert model.passes == [(0, 100), *pieces, (75, 5), (75, 1), (76, 1), *drafts]


# --- what is said ----------------------------------------------------------------------------------------------------


def deviation(share):
    return Deviation(share=share, position=0, what="in one pass", tokens=100)


@pytest.mark.parametrize(("share", "lines"), [(0.0009, 0), (0.0011, 1), (0.0099, 1)])
def test_a_small_difference_is_told_and_not_refused(share, lines):
    result = EqualityResult(family="Some", weights=deviation(share))
    result.require_equal("mine", "nothing")
    told = "mine: the converted model's logits differ from its source's by "
    expected = [f"{told}{100 * share:.2f}% of their standard deviation at token 1 of 100, read in one pass"]
    assert list(result.remarks("mine")) == expected[:lines]


@pytest.mark.parametrize("part", ["configuration", "weights"])
@pytest.mark.parametrize("share", [0.0101, np.inf, np.nan])
def test_more_than_a_hundredth_is_refused(part, share):
    result = EqualityResult(family="Some", **{part: deviation(share)})
    assert not result.acceptable
    with pytest.raises(EdgedraftError, match="must be converted into the model that transformers computes"):
        result.require_equal("mine", "nothing")


def test_a_model_too_large_for_this_machine_is_told_to_be_unchecked(tmp_path, monkeypatch):
    class Memory:
        available = 3 << 29

    (tmp_path / "model.onnx.data").write_bytes(b"")
    (tmp_path / "model.onnx.data").open("r+b").truncate(2 << 30)
    monkeypatch.setattr(comparing.psutil, "virtual_memory", Memory)
    result = check_weights(tmp_path, tmp_path, EqualityResult(family="Some"))
    needs = "comparing it with its source needs 3.0 GiB of memory, 1.5 GiB are free"
    assert result.remarks("mine") == (f"mine: not checked: {needs}",)
    assert result.acceptable


def test_a_source_too_large_to_load_in_float32_is_told_to_be_unchecked(tiny_pair, tiny_opened, monkeypatch):
    """A source that needs float32 throughout takes more memory than the first try; what is known by then counts."""
    folder = tiny_opened.target.path
    graph = sum(file.stat().st_size for file in folder.glob("model.onnx*"))
    free = SimpleNamespace(available=int(1.2 * graph) + (1 << 30))
    monkeypatch.setattr(comparing.psutil, "virtual_memory", lambda: free)
    tried = []

    def narrow(*arguments, whole):
        tried.append(whole)
        raise RuntimeError("expected m1 and m2 to have the same dtype")

    monkeypatch.setattr(comparing, "source_logits", narrow)
    result = check_weights(tiny_pair.target, folder, EqualityResult(family="Some"))
    assert (result.weights, result.acceptable, tried) == (None, True, [False])
    assert "comparing it with its source needs" in result.not_checked[0]
    for share, known in ((0.0009, True), (0.0011, False)):
        monkeypatch.setattr(comparing, "source_logits", lambda *arguments, whole: None)
        monkeypatch.setattr(comparing, "_deviation", lambda *arguments, share=share: deviation(share))
        result = check_weights(tiny_pair.target, folder, EqualityResult(family="Some"))
        assert (result.weights is not None, result.not_checked == ()) == (known, known)


# --- borders ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "far"),
    [
        ({"model_type": "llama"}, False),
        ({"sliding_window": None}, False),
        ({"sliding_window": 32}, False),
        ({"sliding_window": 4096}, True),
        ({"sliding_window": 4096, "use_sliding_window": False}, False),
        ({"text_config": {"sliding_window": 4096}}, True),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}, False),
        ({"rope_parameters": {"rope_type": "linear", "factor": 4.0}}, False),
        ({"rope_scaling": {"type": "yarn", "factor": 4.0}}, True),
        ({"rope_parameters": {"rope_type": "llama3", "factor": 8.0}}, True),
        ({"rope_parameters": {"full_attention": {"rope_type": "longrope", "long_factor": [1.0]}}}, True),
        ({"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}, True),
    ],
)
def test_a_configuration_tells_of_its_borders(config, far):
    assert has_far_border(config) is far
