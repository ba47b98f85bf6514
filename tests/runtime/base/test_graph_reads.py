"""Every file that a graph would read is found, wherever in it a tensor stands."""

import onnx
import pytest
from onnx import TensorProto, helper

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.graph_reads import external_values, require_own_data

VALUE = helper.make_tensor_value_info


def outside(location, name="w"):
    """A tensor whose values lie in the file ``location``."""
    tensor = TensorProto(name=name, dims=[2], data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    tensor.external_data.add(key="length", value="8")
    return tensor


def graph(nodes=(), initializers=()):
    return helper.make_graph(list(nodes), "g", [], [VALUE("y", TensorProto.FLOAT, [2])], list(initializers))


def constant(location):
    return helper.make_node("Constant", [], ["c"], value=outside(location))


def among_initializers(location):
    return helper.make_model(graph(initializers=[outside(location)]))


def in_an_attribute(location):
    return helper.make_model(graph([constant(location)]))


def in_a_list_of_tensors(location):
    node = helper.make_node("Op", [], ["y"], domain="strangers")
    node.attribute.add(name="t", type=onnx.AttributeProto.TENSORS, tensors=[outside(location)])
    return helper.make_model(graph([node]))


def in_a_branch(location):
    branches = {"then_branch": graph(initializers=[outside(location)]), "else_branch": graph()}
    return helper.make_model(graph([helper.make_node("If", ["c"], ["y"], **branches)]))


def in_a_list_of_graphs(location):
    node = helper.make_node("Op", [], ["y"], domain="strangers")
    node.attribute.add(name="g", type=onnx.AttributeProto.GRAPHS, graphs=[graph([constant(location)])])
    return helper.make_model(graph([node]))


def in_a_function(location):
    function = helper.make_function("d", "F", [], ["c"], [constant(location)], [helper.make_opsetid("", 17)])
    return helper.make_model(graph(), functions=[function])


def in_a_function_default(location):
    model = in_a_function("x")
    del model.functions[0].node[:]
    model.functions[0].attribute_proto.add(name="t", type=onnx.AttributeProto.TENSOR, t=outside(location))
    return model


def in_a_training_graph(location):
    model = helper.make_model(graph())
    model.training_info.add(initialization=graph(initializers=[outside(location)]))
    return model


def not_said_to_be_outside(location):
    model = among_initializers(location)
    model.graph.initializer[0].data_location = TensorProto.DEFAULT
    return model


PLACES = (
    *(among_initializers, in_an_attribute, in_a_list_of_tensors, in_a_branch, in_a_list_of_graphs, in_a_function),
    *(in_a_function_default, in_a_training_graph, not_said_to_be_outside),
)


def saved(folder, model):
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("place", PLACES)
def test_a_location_is_found_anywhere(tmp_path, place):
    assert [each.location for each in external_values(saved(tmp_path, place("../secret")))] == ["../secret"]


def test_messages_that_protobuf_would_merge_are_all_seen(tmp_path):
    path = tmp_path / "model.onnx"
    merged = [helper.make_model(graph(initializers=[outside(name)])).SerializeToString() for name in ("a", "b")]
    path.write_bytes(b"".join(merged))
    assert [each.location for each in external_values(path)] == ["a", "b"]


@pytest.mark.parametrize(
    "location",
    [
        "../secret",
        "/etc/hostname",
        "a/../../secret",
        "link",
        "nothing",
        "",
        ".",
        "*/_ORT_MEM_ADDR_/*",
        "..\\x",
        "C:\\x",
    ],
)
@pytest.mark.parametrize("place", [among_initializers, in_a_function])
def test_only_plain_files_of_the_graphs_folder_are_its_own(tmp_path, location, place):
    (tmp_path / "secret").write_bytes(b"12345678")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link").symlink_to("../secret")
    (folder / "data").write_bytes(b"12345678")
    require_own_data(saved(folder, place("data")))
    with pytest.raises(EdgedraftError, match=r"tensor w: expected its data in a file of the model, got "):
        require_own_data(saved(folder, place(location)))


def test_links_of_a_hubs_cache_are_followed(tmp_path):
    for name in ("blobs", "snapshot"):
        (tmp_path / name).mkdir()
    saved(tmp_path / "blobs", among_initializers("data")).rename(tmp_path / "blobs" / "g")
    (tmp_path / "blobs" / "d").write_bytes(b"12345678")
    (tmp_path / "snapshot" / "model.onnx").symlink_to("../blobs/g")
    (tmp_path / "snapshot" / "data").symlink_to("../blobs/d")
    require_own_data(tmp_path / "snapshot" / "model.onnx")


def test_operators_that_read_files_of_their_own_are_refused(tmp_path):
    node = helper.make_node("EPContext", [], ["y"], domain="com.microsoft", embed_mode=0, ep_cache_context="../x")
    with pytest.raises(EdgedraftError, match="no operator that reads a file of its own, got EPContext"):
        external_values(saved(tmp_path, helper.make_model(graph([node]))))


def test_sparse_tensors_are_refused(tmp_path):
    model = helper.make_model(graph())
    model.graph.sparse_initializer.add(dims=[2**40])
    with pytest.raises(EdgedraftError, match="expected no sparse tensor"):
        external_values(saved(tmp_path, model))


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 1000, b"\x3a\xff\xff\xff\xff\x0f", bytes([0x3A, 2, 0x2A, 9]), b"\x08"]
)
def test_bytes_that_are_no_model_are_refused(tmp_path, content):
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(EdgedraftError, match="not an ONNX model that can be read"):
        external_values(tmp_path / "model.onnx")


def test_subgraphs_without_end_are_refused(tmp_path):
    inner = graph()
    for _ in range(28):
        inner = graph([helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=graph())])
    with pytest.raises(EdgedraftError, match="graphs nested too deeply"):
        external_values(saved(tmp_path, helper.make_model(inner)))
