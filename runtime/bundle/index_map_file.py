"""The index map's file: one int64 tensor, ``target_ids``, in safetensors format."""

from pathlib import Path

from edgedraft.runtime.base.errors import naming
from edgedraft.runtime.base.records import require
from edgedraft.runtime.base.tensors import read_tensors, write_tensors
from edgedraft.runtime.core.index_map import IndexMap

TENSOR_NAME = "target_ids"


def write_index_map(path: Path, index_map: IndexMap) -> None:
    """Write the map as a safetensors file with one int64 tensor, ``target_ids``."""
    metadata = {"target_vocab_size": str(index_map.target_vocab_size), "convention": "absolute"}
    write_tensors(path, {TENSOR_NAME: index_map.target_ids}, metadata)


def read_index_map(path: Path, target_vocab_size: int) -> IndexMap:
    """Read and check an index map.

    Raises `EdgedraftError` naming the file when the tensor is missing or its ids are not valid.
    """
    tensors, _ = read_tensors(path)
    require(TENSOR_NAME in tensors, f"{path}: no tensor {TENSOR_NAME}", got=", ".join(sorted(tensors)) or "none")
    with naming(path, "export the bundle again"):
        return IndexMap(target_ids=tensors[TENSOR_NAME], target_vocab_size=target_vocab_size)
