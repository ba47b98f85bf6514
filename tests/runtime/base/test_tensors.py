"""Safetensors files: equal bytes for equal arrays, old files stay readable, and what is not whole is refused."""

import json

import numpy as np
import pytest

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.tensors import read_tensors, tensor_names, write_tensors

ARRAYS = {
    "bytes": np.array([1, 2, 255], dtype=np.uint8),
    "flags": np.array([[True], [False]]),
    "float": np.array([[1.5, -np.inf], [0.0, 3e-38]], dtype=np.float32),
    "half": np.array([0.5, 65504], dtype=np.float16),
    "long": np.array([-(2**63), 2**63 - 1], dtype=np.int64),
    "int": np.array([[[-7]], [[7]]], dtype=np.int32),
    "scalar": np.array(2.5, dtype=np.float32),
    "empty": np.zeros((0, 3), dtype=np.float32),
}


F32_HEAD = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
F32_TAIL = {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}


def assert_same(found, expected):
    assert sorted(found) == sorted(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype, name
        assert found[name].shape == array.shape, name
        np.testing.assert_array_equal(found[name], array)


def file_of(header, body=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def test_arrays_and_metadata_read_back(tmp_path):
    write_tensors(tmp_path / "t", ARRAYS, {"key": "value", "é": "😀"})
    tensors, metadata = read_tensors(tmp_path / "t")
    assert_same(tensors, ARRAYS)
    assert metadata == {"key": "value", "é": "😀"}


def test_what_is_read_may_be_written_to(tmp_path):
    write_tensors(tmp_path / "t", ARRAYS)
    tensors, metadata = read_tensors(tmp_path / "t")
    tensors["float"][0, 0] = 9
    assert metadata == {}


def test_an_array_with_strides_is_written_in_order(tmp_path):
    turned = np.arange(6, dtype=np.int32).reshape(2, 3).T
    write_tensors(tmp_path / "t", {"turned": turned, "every other": np.arange(8, dtype=np.int64)[::2]})
    tensors, _ = read_tensors(tmp_path / "t")
    assert_same(tensors, {"turned": turned, "every other": np.array([0, 2, 4, 6], dtype=np.int64)})


def test_equal_arrays_and_metadata_give_equal_bytes(tmp_path):
    contents = set()
    for _ in range(10):
        write_tensors(tmp_path / "t", ARRAYS, {f"key {number}": "é" for number in range(12)})
        contents.add((tmp_path / "t").read_bytes())
    assert len(contents) == 1


def test_one_array_gives_the_bytes_of_earlier_versions(tmp_path):
    """An index map exported again has the sum that it had before."""
    write_tensors(tmp_path / "t", {"target_ids": np.arange(2)}, {"target_vocab_size": "5", "convention": "absolute"})
    text = b'{"__metadata__": {"target_vocab_size": "5", "convention": "absolute"}, '
    text += b'"target_ids": {"dtype": "I64", "shape": [2], "data_offsets": [0, 16]}}'
    text += b" " * (-len(text) % 8)
    assert (tmp_path / "t").read_bytes() == len(text).to_bytes(8, "little") + text + np.arange(2).tobytes()


def test_the_data_begins_at_a_multiple_of_eight_bytes(tmp_path):
    for size in range(8):
        write_tensors(tmp_path / "t", {"a": np.arange(3, dtype=np.int64)}, {"key": "é" * size})
        assert int.from_bytes((tmp_path / "t").read_bytes()[:8], "little") % 8 == 0
        assert_same(read_tensors(tmp_path / "t")[0], {"a": np.arange(3, dtype=np.int64)})


def test_files_of_earlier_versions_are_read(tmp_path):
    """Those had spaces in their header and the arrays in any order, so that some began at odd bytes."""
    header = {
        "__metadata__": {"key": "value"},
        "bytes": {"dtype": "U8", "shape": [3], "data_offsets": [0, 3]},
        "long": {"dtype": "I64", "shape": [1], "data_offsets": [3, 11]},
    }
    (tmp_path / "t").write_bytes(
        file_of(json.dumps(header).encode() + b"   ", b"\1\2\3" + (-5).to_bytes(8, "little", signed=True))
    )
    tensors, metadata = read_tensors(tmp_path / "t")
    assert_same(tensors, {"bytes": np.array([1, 2, 3], dtype=np.uint8), "long": np.array([-5])})
    assert metadata == {"key": "value"}


def test_only_the_arrays_asked_for_are_read(tmp_path):
    write_tensors(tmp_path / "t", ARRAYS, {"key": "value"})
    tensors, metadata = read_tensors(tmp_path / "t", ["half"])
    assert_same(tensors, {"half": ARRAYS["half"]})
    assert metadata == {"key": "value"}
    assert sorted(tensor_names(tmp_path / "t")) == sorted(ARRAYS)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    write_tensors(tmp_path / "t", {"a": np.zeros(1, dtype=np.float32)})
    with pytest.raises(EdgedraftError, match=r"t: arrays that safetensors cannot hold, got .*complex128"):
        write_tensors(tmp_path / "t", {"a": np.zeros(1, dtype=np.complex128)})
    assert_same(read_tensors(tmp_path / "t")[0], {"a": np.zeros(1, dtype=np.float32)})
    assert [file.name for file in tmp_path.iterdir()] == ["t"]


def test_a_missing_file_is_named(tmp_path, raises_exactly):
    with raises_exactly(f"{tmp_path}/t: no such file"):
        read_tensors(tmp_path / "t")


def test_a_file_cut_anywhere_is_refused(tmp_path):
    write_tensors(tmp_path / "whole", {"a": np.arange(4, dtype=np.int32)}, {"key": "value"})
    whole = (tmp_path / "whole").read_bytes()
    for size in range(len(whole)):
        (tmp_path / "cut").write_bytes(whole[:size])
        with pytest.raises(EdgedraftError, match="cut: not a safetensors file edgedraft can read, got "):
            read_tensors(tmp_path / "cut")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"garbage, not a header at all",
        b"\xff" * 64,
        file_of([]),
        file_of(3),
        file_of(b"\xff\xff"),
        file_of({"a": 1}),
        file_of({"a": {}}),
        file_of({"a": {"dtype": "F32", "shape": [1]}}, b"1234"),
        file_of({"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}, b"1234"),
        file_of({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, b"1234"),
        file_of({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 3]}}, b"1234"),
        file_of({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}, b"1234"),
        file_of({"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}, b"1234"),
        file_of({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 8]}}, b"1234"),
        file_of({"a": {"dtype": "F32", "shape": [1], "data_offsets": ["0", "4"]}}, b"1234"),
        file_of({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, b"1234567"),
        file_of({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"12345"),
        file_of({"a": F32_HEAD, "b": {"dtype": "F32", "shape": [1], "data_offsets": [2, 6]}}, b"123456"),
        file_of({"a": F32_HEAD, "b": F32_HEAD}, b"1234"),
        file_of({"a": F32_HEAD, "b": {"dtype": "F32", "shape": [1], "data_offsets": [8, 12]}}, b"123456789012"),
        file_of(f'{{"a": {json.dumps(F32_HEAD)}, "a": {json.dumps(F32_TAIL)}}}'.encode(), b"12345678"),
        file_of({"__metadata__": {"key": 1}, "a": F32_HEAD}, b"1234"),
    ],
)
def test_garbage_is_refused(tmp_path, content):
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(EdgedraftError, match="t: not a safetensors file edgedraft can read, got "):
        read_tensors(tmp_path / "t")
