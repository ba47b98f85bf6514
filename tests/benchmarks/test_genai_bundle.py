"""Texts are told apart at the first place that differs, and a tie only where the model's own rounding explains it."""

import json

import numpy as np
import pytest

from edgedraft.runtime.core.model import Pass
from tests.benchmarks.genai_bundle import ALONE, FULL, TRIMMED, first_difference, genai_folders, parting
from tests.benchmarks.other_engines import compared


@pytest.mark.parametrize(
    ("text", "other", "place"),
    [([], [], None), ([1, 2], [1, 2], None), ([1, 2], [1, 3], 1), ([1, 2, 3], [1, 2], 2), ([4], [5, 6], 0)],
)
def test_the_first_difference(text, other, place):
    assert first_difference(text, other) == first_difference(other, text) == place


class Wobbling:
    """Logits 0..4 after any text; alone, the last of them is ``wobble`` higher than when it is read with others."""

    context_length = 100

    def __init__(self, wobble: float) -> None:
        self.wobble, self.token_ids = wobble, []

    @property
    def length(self) -> int:
        return len(self.token_ids)

    def rewind(self, length: int) -> None:
        del self.token_ids[length:]

    def read(self, token_ids) -> Pass:
        self.token_ids += token_ids
        rows = np.tile(np.arange(5.0), (len(token_ids), 1))
        rows[:, 4] += self.wobble * (len(token_ids) == 1)
        return Pass(logits=rows)


@pytest.mark.parametrize(("wobble", "tie"), [(0.0, False), (0.25, False), (0.5, True), (2.0, True)])
def test_a_tie_is_no_wider_than_twice_the_wobble(wobble, tie):
    found = parting(Wobbling(wobble), [9, 9], [1, 3, 0], [1, 4, 0])
    assert (found.place, found.apart, found.wobble) == (1, 1.0, wobble)
    assert found.is_a_tie == tie


def test_equal_texts_do_not_part_and_shorter_ones_are_no_tie():
    assert parting(Wobbling(1.0), [9, 9], [1, 2], [1, 2]) is None
    assert not parting(Wobbling(1.0), [9, 9], [1, 2], [1]).is_a_tie


def test_each_way_differs_from_the_bundle_in_its_drafter_alone(tiny_bundle, tmp_path):
    own = json.loads((tiny_bundle / "genai_config.json").read_text())
    folders = genai_folders(tiny_bundle, tmp_path, tmp_path, {"intra_op_num_threads": 1})
    made = {way: json.loads((folder / "genai_config.json").read_text()) for way, folder in folders.items()}
    graphs = {way: config["model"].get("draft", {}).get("filename") for way, config in made.items()}
    assert graphs == {ALONE: None, FULL: "full/model.onnx", TRIMMED: "bundle/drafter/expanded.onnx"}
    assert made[ALONE]["search"] == own["search"]
    assert made[TRIMMED]["speculative"] == made[FULL]["speculative"] == own["speculative"]
    assert (folders[TRIMMED] / "bundle" / "drafter" / "expanded.onnx").is_file()


def test_logits_are_compared_where_both_are_finite(tmp_path):
    here = np.array([[1.0, -np.inf, 3.0]], np.float32)
    same, near = (compared(tmp_path / "graph.onnx", here, here + shift) for shift in (0, 0.25))
    assert (same.difference, same.same_gaps, near.difference, near.same_gaps) == (0.0, True, 0.25, True)
    gap = compared(tmp_path / "graph.onnx", here, np.array([[1.0, 2.0, 3.0]], np.float32))
    assert (gap.graph, gap.shape, gap.difference, gap.same_gaps) == ("graph.onnx", (1, 3), 0.0, False)
