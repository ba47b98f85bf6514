"""The little safetensors reader and writer agree with the safetensors package, and refuse what is not whole."""

import json

import numpy as np
import pytest

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.tensors import read_tensors, write_tensors
from tests.needs import package as required

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


def test_the_safetensors_package_reads_what_is_written(tmp_path):
    package = required("safetensors.numpy", extra="export")
    write_tensors(tmp_path / "t", ARRAYS, {"key": "value"})
    assert_same(package.load_file(tmp_path / "t"), ARRAYS)


def test_what_the_safetensors_package_writes_is_read(tmp_path):
    package = required("safetensors.numpy", extra="export")
    package.save_file(ARRAYS, tmp_path / "t", metadata={"key": "value"})
    tensors, metadata = read_tensors(tmp_path / "t")
    assert_same(tensors, ARRAYS)
    assert metadata == {"key": "value"}


def test_a_failed_write_leaves_the_old_file(tmp_path):
    write_tensors(tmp_path / "t", {"a": np.zeros(1, dtype=np.float32)})
    with pytest.raises(KeyError):
        write_tensors(tmp_path / "t", {"a": np.zeros(1, dtype=np.complex64)})
    assert_same(read_tensors(tmp_path / "t")[0], {"a": np.zeros(1, dtype=np.float32)})


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


def test_a_cut_body_says_where_it_ends(tmp_path, raises_exactly):
    path = tmp_path / "t"
    path.write_bytes(file_of({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, b"1234567"))
    reason = "offsets 0..8 lie outside the file's 7 bytes"
    with raises_exactly(f"{path}: not a safetensors file edgedraft can read, got {reason}"):
        read_tensors(path)


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
    ],
)
def test_garbage_is_refused(tmp_path, content):
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(EdgedraftError, match="t: not a safetensors file edgedraft can read, got "):
        read_tensors(tmp_path / "t")
