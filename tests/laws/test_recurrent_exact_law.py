"""In exact mode a hybrid's token has the same bits in every pass, after whatever was read and rewound before."""

from pathlib import Path

import numpy as np
import pytest

from edgedraft.exporter.graph.worker_pack import pack_graph
from edgedraft.runtime.onnx import signature
from edgedraft.runtime.onnx.exact import STOCK_KERNELS
from edgedraft.runtime.onnx.session import OnnxGraph, SessionSettings
from edgedraft.runtime.onnx.state_inputs import read_states
from edgedraft.runtime.onnx.stateful import ExactStatefulModel, StatefulModel
from tests.exporter.families import VOCAB
from tests.runtime.native.conftest import kernels, library, stock_attention  # noqa: F401

pytestmark = pytest.mark.usefixtures("torch_alone")

CONTEXT = 72
IDS = np.random.default_rng(5).integers(2, VOCAB, CONTEXT).tolist()
OTHERS = np.random.default_rng(6).integers(2, VOCAB, CONTEXT).tolist()


@pytest.fixture(scope="module", params=["Qwen 3.5", "LFM2"])
def path(request, hybrids) -> Path:
    """The target in fp32."""
    return hybrids.bundle(request.param) / "target" / "model.onnx"


@pytest.fixture(scope="module")
def packed(path, tmp_path_factory) -> Path:
    """The target in int4."""
    folder = tmp_path_factory.mktemp("int4")
    pack_graph(path, folder, "int4")
    return folder / "model.onnx"


def opened(path: Path, **settings) -> OnnxGraph:
    return OnnxGraph(path, SessionSettings(threads=2, context_length=CONTEXT, **settings))


def check_bits(graph: OnnxGraph) -> None:
    """Read up to the context's end in pieces of every size, with refused drafts and edits between them."""
    whole = graph.new_model().read(IDS).logits.copy()
    model, rng = graph.new_model(), np.random.default_rng(1)
    for most in (1, 2, 3, 9, 40):
        model.rewind(int(rng.integers(0, model.length + 1)))
        while model.length < CONTEXT:
            if rng.random() < 0.4 and model.length + 4 <= CONTEXT:
                start = model.length
                model.read([IDS[start], *OTHERS[:3]])
                model.rewind(start + int(rng.integers(0, 2)))
            start = model.length
            piece = IDS[start : start + int(rng.integers(1, most + 1))]
            if piece:
                np.testing.assert_array_equal(model.read(piece).logits, whole[start : start + len(piece)])
            if rng.random() < 0.3:
                model.rewind(max(model.length - int(rng.integers(1, 4)), 0))
        assert list(model.token_ids) == IDS


def test_fp32_is_exact_in_passes_of_two_rows_or_more(path):
    graph = opened(path, exact=True)
    assert graph.exactness.exact and not graph.exact_mode_is_free
    assert isinstance(graph.new_model(), ExactStatefulModel)
    check_bits(graph)


def test_int4_is_exact_for_nothing_on_own_kernels(packed, kernels):  # noqa: F811
    graph = opened(packed, kernels=kernels[0])
    assert graph.exactness.exact and graph.exact_mode_is_free
    assert type(graph.new_model()) is StatefulModel
    check_bits(graph)


def test_int4_is_exact_beside_onnxruntimes_attention(packed, kernels, stock_attention):  # noqa: F811
    graph = opened(packed, kernels=kernels[0], exact=True)
    assert graph.exactness.exact and not graph.exact_mode_is_free
    check_bits(graph)


def test_int4_on_stock_kernels_claims_nothing(packed):
    """The negative control: what is called inexact is, so the check above can fail."""
    graph = opened(packed, kernels="stock", exact=None)
    assert (graph.exactness.exact, graph.exactness.reason) == (False, STOCK_KERNELS)
    assert graph.exactness.label == "inexact"
    with pytest.raises(AssertionError):
        check_bits(graph)


def test_graphs_without_checkpoints_need_independent_rows(packed, kernels, monkeypatch):  # noqa: F811
    """States after whole passes alone cannot leave out a row that only fills a pass."""
    monkeypatch.setattr(signature, "read_states", lambda *values: (read_states(*values)[0], False))
    assert opened(packed, kernels=kernels[0]).exactness.exact
    reason = opened(packed, kernels="stock", exact=None).exactness.reason
    assert reason == "the graph gives states after whole passes only, and attention would need two rows in every pass"
