"""The file of a full head: what it must hold, and the rows that are read from it."""

import numpy as np
import pytest

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.tensors import write_tensors
from edgedraft.runtime.bundle.head_rows_file import HeadRowsEntry, open_head_rows

ROWS, WIDTH = 11, 40


def entry(**changes) -> HeadRowsEntry:
    return HeadRowsEntry(**{"file": "head", "rows": ROWS, "width": WIDTH, "bits": 4, "block_size": 32} | changes)


def packed(bits: int, *, zeros: bool) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Random blocks, packed, and the numbers that they stand for, each written as its formula says."""
    rng, blocks = np.random.default_rng(bits), 2
    values = rng.integers(0, 2**bits, (ROWS, blocks, 32))
    scales = rng.normal(0, 1, (ROWS, blocks)).astype(np.float32)
    points = rng.integers(0, 2**bits, (ROWS, blocks)) if zeros else np.full((ROWS, blocks), 2 ** (bits - 1))
    numbers = ((values - points[:, :, None]) * scales[:, :, None]).reshape(ROWS, -1)[:, :WIDTH]

    def halves(array: np.ndarray) -> np.ndarray:
        joined = array[..., ::2] | (array[..., 1::2] << 4) if bits == 4 else array
        return joined.astype(np.uint8)

    tensors = {"weight": halves(values), "scales": scales}
    return tensors | ({"zero_points": halves(points)} if zeros else {}), numbers


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("bits", [4, 8])
def test_rows_of_blocks(bits, zeros, tmp_path):
    tensors, numbers = packed(bits, zeros=zeros)
    write_tensors(tmp_path / "head", tensors)
    head = open_head_rows(tmp_path / "head", entry(bits=bits))
    ids = np.array([10, 0, 3])
    np.testing.assert_allclose(head.read(ids), numbers[ids], rtol=1e-6)


@pytest.mark.parametrize(("dtype", "bits"), [(np.float16, 16), (np.float32, 32)])
def test_rows_of_floats(dtype, bits, tmp_path):
    weight = np.random.default_rng(1).normal(0, 1, (ROWS, WIDTH)).astype(dtype)
    write_tensors(tmp_path / "head", {"weight": weight})
    head = open_head_rows(tmp_path / "head", entry(bits=bits, block_size=0))
    np.testing.assert_array_equal(head.read(np.array([7, 2])), weight[[7, 2]].astype(np.float32))


def refused(path, tensors, described=None) -> str:
    write_tensors(path, tensors)
    with pytest.raises(EdgedraftError) as caught:
        open_head_rows(path, described or entry())
    return str(caught.value).removeprefix(f"{path}: ")


def test_other_arrays_are_refused_in_one_line(tmp_path):
    path, (tensors, _) = tmp_path / "head", packed(4, zeros=False)
    again = " - export the bundle again"
    whole = "head rows: weight: expected uint8 (11, 2, 16), got"
    assert refused(path, {"scales": tensors["scales"]}) == f"{whole} None{again}".replace(", got None", "")
    assert refused(path, tensors | {"weight": tensors["weight"][1:]}) == f"{whole} uint8 (10, 2, 16){again}"
    floats = tensors["weight"].astype(np.float32)
    assert refused(path, tensors | {"weight": floats}) == f"{whole} float32 (11, 2, 16){again}"
    scales = "head rows: scales: expected float16 or float32 (11, 2), got float32 (11, 1)"
    assert refused(path, tensors | {"scales": tensors["scales"][:, :1]}) == f"{scales}{again}"
    points = "head rows: zero_points: expected uint8 (11, 1), got uint8 (11, 2)"
    assert refused(path, tensors | {"zero_points": np.zeros((11, 2), np.uint8)}) == f"{points}{again}"
    more = "head rows: expected weight, scales, zero_points alone, got ['bias']"
    assert refused(path, tensors | {"bias": np.zeros(11, np.float32)}) == f"{more}{again}"
    assert "weight is I64" in refused(path, {"weight": np.zeros((11, 40), np.int64)}, entry(bits=32, block_size=0))


def test_a_cut_file_is_refused(tmp_path):
    path, (tensors, _) = tmp_path / "head", packed(4, zeros=True)
    write_tensors(path, tensors)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(EdgedraftError, match="not a safetensors file edgedraft can read"):
        open_head_rows(path, entry())
