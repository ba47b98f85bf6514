"""The law of external data: every tensor lies whole in a plain file of its folder, or one line says which does not."""

import os
import resource
import subprocess
import sys

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.exporter.graph import external
from edgedraft.exporter.graph.external import taken
from edgedraft.exporter.graph.loading import load_graph, save_graph
from edgedraft.runtime.base.errors import EdgedraftError

HIDDEN, WIDTH = 8, 64
BYTES = 4 * HIDDEN * WIDTH


@pytest.fixture
def folder(tmp_path, graphs):
    """A model whose one weight fills its data file."""
    save_graph(graphs.plain(HIDDEN, WIDTH), tmp_path / "model.onnx", "model.data")
    assert (tmp_path / "model.data").stat().st_size == BYTES
    return tmp_path


@pytest.fixture
def pointing(folder):
    """Makes the graph look for its weight elsewhere."""

    def point(location="model.data", offset=0, length=BYTES):
        model = ir.load(folder / "model.onnx")
        weight = model.graph.initializers["head.weight"]
        weight.const_value = ir.ExternalTensor(
            location, offset, length, ir.DataType.FLOAT, shape=ir.Shape([HIDDEN, WIDTH]), name="head.weight"
        )
        ir.save(model, folder / "model.onnx")

    return point


def refusal(folder) -> str:
    with pytest.raises(EdgedraftError) as error:
        load_graph(folder / "model.onnx")
    start = f"{folder / 'model.onnx'}: tensor head.weight: "
    assert str(error.value).startswith(start)
    return str(error.value).removeprefix(start)


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, BYTES - 1])
def test_data_that_was_cut_short_is_told_with_tensor_and_file(folder, size):
    os.truncate(folder / "model.data", size)
    assert refusal(folder) == (
        f"model.data must hold bytes 0 to {BYTES}, got a file of {size} - "
        "the data is cut short: copy the model's folder afresh"
    )


@pytest.mark.parametrize("offset", [1, BYTES, 2**62])
def test_a_tensor_that_begins_elsewhere_than_its_file_allows_is_refused(folder, pointing, offset):
    pointing(offset=offset)
    assert refusal(folder) == (
        f"model.data must hold bytes {offset} to {offset + BYTES}, got a file of {BYTES} - "
        "the data is cut short: copy the model's folder afresh"
    )


def test_a_negative_offset_is_refused(folder, pointing):
    pointing(offset=-4)
    with pytest.raises(EdgedraftError) as error:
        load_graph(folder / "model.onnx")
    assert str(error.value) == (
        f"{folder / 'model.onnx'}: not an ONNX model that can be read, "
        "got External data offset must be non-negative, got -4 for tensor 'head.weight'"
    )


def test_a_length_that_is_not_the_shapes_is_refused(folder, pointing):
    pointing(length=BYTES - 4)
    assert refusal(folder) == (
        f"expected {BYTES} bytes of data, as its type and shape have, got {BYTES - 4} - export the model again"
    )


@pytest.mark.parametrize("location", ["../model.data", "a/../../x", "/etc/passwd", "..\\x", "C:\\x", "\\x", "", "."])
def test_paths_that_could_lead_out_of_the_folder_are_refused(folder, pointing, location):
    (folder.parent / "model.data").write_bytes(bytes(BYTES))
    pointing(location)
    assert refusal(folder) == (
        f"data file: expected a relative path inside the model's folder, got {location!r} - "
        "save the model with its data beside the graph"
    )


@pytest.mark.parametrize("name", ["gone.data", "a folder"])
def test_a_missing_data_file_is_named(folder, pointing, name):
    (folder / "a folder").mkdir()
    pointing(name)
    assert refusal(folder) == f"{folder / name}: no such data file - copy the model's folder afresh"


@pytest.mark.parametrize("through", ["file", "folder"])
def test_a_symbolic_link_out_of_the_folder_is_refused(folder, pointing, tmp_path_factory, through):
    outside = tmp_path_factory.mktemp("outside")
    (folder / "model.data").rename(outside / "weights")
    if through == "file":
        (folder / "model.data").symlink_to(outside / "weights")
        file = folder / "model.data"
    else:
        (folder / "sub").symlink_to(outside)
        pointing("sub/weights")
        file = folder / "sub/weights"
    assert refusal(folder) == (
        f"{file} links out of the model's folder, got {(outside / 'weights').resolve()} - put the file there"
    )


def test_a_link_within_the_folder_is_followed(folder):
    (folder / "model.data").rename(folder / "weights")
    (folder / "model.data").symlink_to("weights")
    weight = load_graph(folder / "model.onnx").graph.initializers["head.weight"].const_value
    assert weight.numpy().shape == (HIDDEN, WIDTH)


def test_a_folder_reached_by_a_link_is_as_good_as_any(folder, tmp_path_factory):
    link = tmp_path_factory.mktemp("links") / "model"
    link.symlink_to(folder)
    assert load_graph(link / "model.onnx").graph.initializers["head.weight"].const_value.numpy().any()


def test_a_hard_link_is_refused_because_onnx_refuses_it(folder, tmp_path_factory):
    os.link(folder / "model.data", tmp_path_factory.mktemp("outside") / "other name")
    assert refusal(folder) == (
        f"{folder / 'model.data'}: expected a file with one name, since onnx refuses hard links, got 2 names - "
        "copy the file"
    )


@pytest.fixture
def constant(folder, graphs):
    """Makes the weight a constant of a node, its numbers outside the graph."""

    def make(location="model.data", side=WIDTH):
        states = graphs.value("hidden", [1, "rows", HIDDEN])
        shape, size = ir.Shape([HIDDEN, side]), 4 * HIDDEN * side
        weight = ir.ExternalTensor(location, 0, size, ir.DataType.FLOAT, shape=shape, name="w")
        node = ir.node("Constant", [], {"value": ir.AttrTensor("value", weight)}, name="weights")
        head = graphs.node("MatMul", [states, node.outputs[0]], name="head")
        ir.save(graphs.model([states], [node, head], [graphs.logits_of(head, side)]), folder / "model.onnx")

    return make


def test_a_constant_outside_the_graph_comes_inside(folder, graphs, constant, tmp_path_factory):
    """Optimum leaves those of large graphs in the data file, where a copied graph would lose them."""
    feed, copy = graphs.states(HIDDEN, 3), tmp_path_factory.mktemp("copy") / "model.onnx"
    expected = graphs.run(folder / "model.onnx", feed)
    constant()
    before = (folder / "model.onnx").read_bytes()
    model = load_graph(folder / "model.onnx")
    assert isinstance(model.graph[0].attributes["value"].as_tensor(), ir.Tensor)
    save_graph(model, copy, "copy.data")
    assert np.array_equal(graphs.run(copy, feed), expected)
    assert (folder / "model.onnx").read_bytes() == before


def test_a_list_of_tensors_comes_inside_too(folder, graphs):
    pieces = [
        ir.ExternalTensor("model.data", 4 * place, 4, ir.DataType.FLOAT, shape=ir.Shape([1]), name=f"t{place}")
        for place in range(3)
    ]
    node = ir.node("Custom", [], {"table": ir.AttrTensors("table", pieces)}, domain="example", name="custom")
    ir.save(graphs.model([], [node], [graphs.logits_of(node, 1)]), folder / "model.onnx")
    found = load_graph(folder / "model.onnx").graph[0].attributes["table"].as_tensors()
    stored = np.fromfile(folder / "model.data", dtype=np.float32)[:3]
    assert [float(tensor.numpy()[0]) for tensor in found] == stored.tolist()
    assert not any(isinstance(tensor, ir.ExternalTensor) for tensor in found)


def test_what_optimum_leaves_outside_comes_inside_and_weights_stay(tmp_path):
    import onnx
    from onnx.external_data_helper import convert_model_to_external_data

    path, numbers = tmp_path / "model.onnx", np.arange(60, dtype=np.float32)
    tensors = [onnx.numpy_helper.from_array(numbers * factor, name) for name, factor in (("own", 1), ("weight", 2))]
    nodes = [
        onnx.helper.make_node("Constant", [], ["held"], value=tensors[0]),
        onnx.helper.make_node("Add", ["held", "weight"], ["sums"]),
    ]
    sums = onnx.helper.make_tensor_value_info("sums", onnx.TensorProto.FLOAT, [60])
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [], [sums], tensors[1:]), ir_version=10)
    convert_model_to_external_data(model, location="model.onnx_data", size_threshold=100, convert_attribute=True)
    onnx.save(model, path)
    found = load_graph(path)
    held = next(node for node in found.graph if node.op_type == "Constant").attributes["value"].as_tensor()
    np.testing.assert_array_equal(held.numpy(), numbers)
    weight = found.graph.initializers["weight"].const_value
    assert isinstance(weight, ir.ExternalTensor)
    np.testing.assert_array_equal(weight.numpy(), 2 * numbers)


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("../model.data", "data file: expected a relative path inside the model's folder, got '../model.data'"),
        ("gone", "{folder}/gone: no such data file"),
    ],
)
def test_a_constant_has_to_lie_where_weights_may(folder, constant, location, told):
    constant(location)
    with pytest.raises(EdgedraftError) as error:
        load_graph(folder / "model.onnx")
    assert str(error.value).startswith(f"{folder / 'model.onnx'}: node weights: {told.format(folder=folder)} - ")


def test_a_constant_as_large_as_weights_is_refused(folder, constant):
    side = (1 << 26) // (4 * HIDDEN) + 1
    os.truncate(folder / "model.data", 4 * HIDDEN * side)  # a hole: nothing is stored
    constant(side=side)
    with pytest.raises(EdgedraftError) as error:
        load_graph(folder / "model.onnx")
    assert str(error.value) == (
        f"{folder / 'model.onnx'}: node weights: only initializers may lie outside the graph with over 64 MB,"
        f" got {4 * HIDDEN * side} bytes - save the model with its weights as initializers"
    )


# --- a hub's cache ---------------------------------------------------------------------------------------------------


@pytest.fixture
def snapshot(folder, tmp_path_factory):
    """The model as the hub's client keeps it: a revision of links to blobs."""
    root = tmp_path_factory.mktemp("hub") / "models--org--model"
    revision = root / "snapshots" / "abc"
    (revision / "onnx").mkdir(parents=True)
    (root / "blobs").mkdir()
    for name in ("model.onnx", "model.data"):
        (folder / name).rename(root / "blobs" / f"sum of {name}")
        (revision / "onnx" / name).symlink_to(f"../../../blobs/sum of {name}")
    return revision / "onnx"


def test_links_into_the_blobs_of_the_same_repository_are_followed(snapshot, graphs, tmp_path):
    model = load_graph(snapshot / "model.onnx")
    expected = graphs.plain(HIDDEN, WIDTH)
    assert taken(model.graph.initializers["head.weight"].const_value, np.arange(3), -1).shape == (HIDDEN, 3)
    save_graph(model, tmp_path / "copy.onnx", "copy.data")
    feed = graphs.states(HIDDEN, 2)
    assert np.array_equal(graphs.run(tmp_path / "copy.onnx", feed), graphs.run(expected, feed))


def test_links_out_of_the_repository_are_refused(snapshot, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "weights"
    outside.write_bytes(bytes(BYTES))
    (snapshot / "model.data").unlink()
    (snapshot / "model.data").symlink_to(outside)
    assert refusal(snapshot) == (
        f"{snapshot / 'model.data'} links out of the model's folder, got {outside.resolve()} - put the file there"
    )


def test_a_blob_that_was_cut_short_is_told(snapshot):
    os.truncate(snapshot / "model.data", 8)
    assert refusal(snapshot) == (
        f"model.data must hold bytes 0 to {BYTES}, got a file of 8 - "
        "the data is cut short: copy the model's folder afresh"
    )


@pytest.mark.parametrize(("size", "too_large"), [(2**31, True), (2**31 - 1, False)])
def test_a_graph_larger_than_protobuf_allows_is_refused_unread(tmp_path, monkeypatch, size, too_large):
    path = tmp_path / "model.onnx"
    path.touch()
    os.truncate(path, size)  # a hole: nothing is stored
    read = []
    monkeypatch.setattr(
        ir, "load", lambda path: read.append(path) or ir.Model(ir.Graph([], [], nodes=[]), ir_version=10)
    )
    if not too_large:
        load_graph(path)
        assert read == [path]
        return
    with pytest.raises(EdgedraftError) as error:
        load_graph(path)
    assert str(error.value) == (
        f"{path}: expected at most 2 GB, protobuf's limit, got {size} bytes - "
        "save the model with its weights as external data"
    )
    assert read == []


# --- taken -----------------------------------------------------------------------------------------------------------


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_taking_by_pieces_is_taking_at_once(tmp_path_factory, data):
    draw = data.draw
    shape = tuple(draw(st.lists(st.integers(1, 9), min_size=1, max_size=3)))
    dtype = draw(st.sampled_from([np.float32, np.float16, np.uint8, np.int8]))
    axis = draw(st.sampled_from([0, -1]))
    ids = np.array(sorted(draw(st.sets(st.integers(0, shape[axis] - 1), min_size=1))), dtype=np.int64)
    array = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 99, shape).astype(dtype)
    offset, piece = draw(st.integers(0, 70)), draw(st.integers(1, 200))
    file = tmp_path_factory.mktemp("data") / "weights"
    file.write_bytes(bytes(offset) + array.tobytes() + b"more")
    kind = ir.DataType.from_numpy(np.dtype(dtype))
    tensor = ir.ExternalTensor(
        "weights", offset, array.nbytes, kind, shape=ir.Shape(shape), name="w", base_dir=file.parent
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(external, "_PIECE_BYTES", piece)
        found = taken(tensor, ids, axis)
    assert found.dtype == dtype
    assert np.array_equal(found, np.take(array, ids, axis=axis))
    assert np.array_equal(found, taken(ir.tensor(array), ids, axis))
    assert tensor.raw is None  # never mapped


def test_half_bytes_are_taken_too(tmp_path):
    (tmp_path / "weights").write_bytes(bytes([0x21, 0x43, 0x65]))
    kind = ir.DataType.UINT4
    tensor = ir.ExternalTensor("weights", 0, 3, kind, shape=ir.Shape([3, 2]), name="w", base_dir=tmp_path)
    assert taken(tensor, np.array([0, 2]), 0).astype(int).tolist() == [[1, 2], [5, 6]]


# --- memory ----------------------------------------------------------------------------------------------------------

MEGABYTE = 1 << 20
SAVE = """
import resource, sys
from pathlib import Path
import numpy as np
from edgedraft.exporter.graph.external import taken
from edgedraft.exporter.graph.loading import load_graph, save_graph
source, output = map(Path, sys.argv[1:])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
model = load_graph(source / "model.onnx")
body = model.graph.initializers["body.0"].const_value
taken(body, np.arange(0, body.shape[0], 64), 0)
taken(body, np.arange(0, body.shape[1], 64), -1)
save_graph(model, output / "model.onnx", "model.data")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.skipif(not hasattr(resource, "getrusage"), reason="no way to ask for the peak")
def test_a_body_that_is_copied_is_never_in_memory(graphs, tmp_path):
    """Six tensors of 64 MB are checked, cut and copied within 60 MB."""
    side = 64 * MEGABYTE // 4 // 4096
    (tmp_path / "from").mkdir()
    (tmp_path / "to").mkdir()
    with (tmp_path / "from" / "model.data").open("wb") as file:
        for part in range(6):
            file.write(np.full(64 * MEGABYTE // 4, part, dtype=np.float32).tobytes())
    states = graphs.value("hidden", [1, "rows", side])
    values = []
    for part in range(6):
        shape, offset = ir.Shape([side, 4096]), part * 64 * MEGABYTE
        name = f"body.{part}"
        tensor = ir.ExternalTensor("model.data", offset, 64 * MEGABYTE, ir.DataType.FLOAT, shape=shape, name=name)
        values.append(ir.val(name, const_value=tensor))
    nodes = [graphs.node("MatMul", [states, value]) for value in values]
    model = graphs.model([states], nodes, [graphs.logits_of(nodes[-1], 4096)])
    ir.save(model, tmp_path / "from" / "model.onnx")
    command = [sys.executable, "-c", SAVE, str(tmp_path / "from"), str(tmp_path / "to")]
    grown = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert (tmp_path / "to" / "model.data").read_bytes() == (tmp_path / "from" / "model.data").read_bytes()
    assert grown < 60
