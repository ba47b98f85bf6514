"""A test is fast by what it uses: a heavy import anywhere in its module, or a heavy fixture, makes it slow."""

from importlib.util import find_spec

import pytest

from tests.choosing import HEAVY_MODULES, is_fast


@pytest.mark.parametrize(
    ("line", "fast"),
    [
        ("import numpy, json", True),
        ("from edgedraft.runtime.core import sampling", True),
        ("import onnxlike", True),
        ("import subprocess", False),
        ("from onnx import helper", False),
        ("import torch.nn as nn", False),
        ("from edgedraft.runtime.onnx.session import open_model", False),
        ("from edgedraft.runtime import engine", False),
        ("def test():\n    from transformers import AutoConfig", False),
    ],
)
def test_a_heavy_import_makes_a_module_slow(line, fast, tmp_path):
    path = tmp_path / "test_some.py"
    path.write_text(line + "\n", encoding="utf-8")
    assert is_fast(path, ["tmp_path"]) is fast
    assert not is_fast(path, ["tiny_bundle", "tiny_pair"])


@pytest.mark.parametrize("name", HEAVY_MODULES)
def test_every_heavy_module_exists(name):
    assert find_spec(name) is not None


def test_a_test_without_any_is_marked(request):
    assert request.node.get_closest_marker("fast") is not None


def test_one_on_the_tiny_pair_is_not_fast(tiny_pair, request):
    assert request.node.get_closest_marker("fast") is None
