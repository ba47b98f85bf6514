"""GGUF files: whole, split into parts, or incomplete. The model is what all parts hold together."""

from pathlib import Path

import gguf
import numpy as np
import pytest

from edgedraft.exporter.models.admission import require_supported
from edgedraft.exporter.models.gguf_header import gguf_architecture, read_gguf_header
from edgedraft.exporter.models.gguf_parts import _BLOCKS, join_gguf
from edgedraft.exporter.models.sources import resolve
from edgedraft.exporter.models.via_optimum import BUILDER
from edgedraft.exporter.models.whole_files import require_whole
from edgedraft.runtime.base.errors import EdgedraftError

TENSORS = {f"blk.{i}.weight": np.arange(i, i + 40, dtype=np.float32).reshape(4, 10) for i in range(5)}
TOKENS = ["a", "Ġb", "ä"]


def write(path: Path, tensors: dict[str, np.ndarray], **facts: int | str) -> Path:
    """A GGUF file of tensors; a double underscore in a keyword stands for a dot."""
    made = gguf.GGUFWriter(str(path), "llama")
    made.add_token_list(TOKENS)
    made.add_token_types([1, 3, 5])
    for name, value in facts.items():
        add = made.add_string if isinstance(value, str) else made.add_uint32
        add(name.replace("__", "."), value)
    for name, array in tensors.items():
        made.add_tensor(name, array)
    made.write_header_to_file()
    made.write_kv_data_to_file()
    made.write_tensors_to_file()
    made.close()
    return path


def cut(folder: Path, sizes: tuple[int, ...]) -> list[Path]:
    """The model in parts, as llama-gguf-split leaves them."""
    names, paths, start = list(TENSORS), [], 0
    for number, size in enumerate(sizes):
        held = {name: TENSORS[name] for name in names[start : start + size]}
        facts = {"split__no": number, "split__count": len(sizes), "split__tensors__count": len(TENSORS)}
        paths.append(write(folder / f"Tiny-{number + 1:05d}-of-{len(sizes):05d}.gguf", held, **facts))
        start += size
    return paths


def refusal(path: Path) -> str:
    with pytest.raises(EdgedraftError) as error:
        require_whole(resolve(str(path), path.parent / "cache"))
    return str(error.value)


def test_the_header_says_what_the_file_holds(tmp_path):
    path = write(tmp_path / "tiny.gguf", TENSORS)
    header, read = read_gguf_header(path), gguf.GGUFReader(path)
    assert gguf_architecture(path) == "llama"
    assert header.metadata["tokenizer.ggml.tokens"] == TOKENS
    assert header.metadata["tokenizer.ggml.token_type"] == [1, 3, 5]
    found = [(each.name, header.data_start + each.offset) for each in header.tensors]
    assert found == [(each.name, each.data_offset) for each in read.tensors]


def test_the_sizes_of_blocks_are_those_of_ggml():
    known = {kind.value: size for kind, size in gguf.GGML_QUANT_SIZES.items()}
    assert {kind: size for kind, size in _BLOCKS.items() if known[kind] != size} == {}


@pytest.mark.parametrize("sizes", [(5,), (2, 3), (0, 1, 4)])
def test_all_parts_make_the_model(tmp_path, sizes):
    parts = cut(tmp_path, sizes)
    source = resolve(str(parts[-1]), tmp_path / "cache")
    assert (source.path, source.name, source.parts) == (parts[0], "tiny", tuple(parts) if len(parts) > 1 else ())
    require_whole(source)
    join_gguf(tuple(parts), tmp_path / "joined.gguf")
    joined = {each.name: each.data for each in gguf.GGUFReader(tmp_path / "joined.gguf").tensors}
    assert list(joined) == list(TENSORS)
    assert all(np.array_equal(joined[name], array) for name, array in TENSORS.items())
    assert read_gguf_header(tmp_path / "joined.gguf").metadata["tokenizer.ggml.tokens"] == TOKENS


def test_another_part_is_another_model(tmp_path):
    parts = cut(tmp_path, (2, 3))
    before = resolve(str(parts[0]), tmp_path).identity
    parts[1].write_bytes(parts[1].read_bytes()[:-4] + b"abcd")
    assert resolve(str(parts[0]), tmp_path).identity != before


def test_a_part_that_is_missing_is_named(tmp_path):
    parts = cut(tmp_path, (2, 2, 1))
    parts[1].unlink()
    assert f"{parts[0]}: one part of a model in 3 files, got no {parts[1].name} - put all parts" in refusal(parts[0])


def test_a_part_under_another_name(tmp_path):
    parts = cut(tmp_path, (2, 3))
    alone = parts[0].rename(tmp_path / "model.gguf")
    assert f"{alone}: one part of a model in 2 files, got 1 - put all parts" in refusal(alone)


def test_a_part_of_another_cut(tmp_path):
    parts = cut(tmp_path, (2, 3))
    write(parts[1], {"blk.9.weight": np.zeros((2, 10), np.float32)}, split__count=2)
    assert "its 2 files must hold 5 tensors, got 3 - download the parts again" in refusal(parts[0])


@pytest.mark.parametrize(("left", "said"), [(-30, "bytes, got"), (100, "not a GGUF file that can be read")])
def test_a_file_that_ends_too_early(tmp_path, left, said):
    path = write(tmp_path / "tiny.gguf", TENSORS)
    path.write_bytes(path.read_bytes()[:left])
    assert said in refusal(path)
    assert "download it again" in refusal(path)


def test_a_tokenizer_alone_is_no_model(tmp_path):
    assert "holds a tokenizer but no weights" in refusal(write(tmp_path / "vocab.gguf", {}))


@pytest.mark.parametrize("kind", ["adapter", "mmproj", "imatrix"])
def test_other_things_in_gguf_files(tmp_path, kind):
    path = write(tmp_path / "other.gguf", TENSORS, general__type=kind)
    assert refusal(path) == f"{path}: expected a whole model, got {kind} - give the model's own file"


@pytest.mark.parametrize(
    ("tensors", "facts", "dropped"),
    [
        ({"rope_freqs.weight": np.ones(4, np.float32)}, {}, "rope_freqs.weight"),
        ({"rope_factors_long.weight": np.ones(4, np.float32)}, {}, "rope_factors_long.weight"),
        ({}, {"llama__rope__scaling__type": "yarn"}, "llama.rope.scaling.type"),
        ({}, {"llama__rope__scaling__factor": 8}, "llama.rope.scaling.factor"),
        ({}, {"llama__attention__sliding_window": 32, "llama__context_length": 64}, "llama.attention.sliding_window"),
        ({}, {"llama__rope__scaling__type": "none"}, None),
        ({}, {"llama__attention__sliding_window": 64, "llama__context_length": 64}, None),
    ],
)
def test_positions_that_unpacking_would_drop_are_refused(tmp_path, tensors, facts, dropped):
    source = resolve(str(write(tmp_path / "tiny.gguf", {**TENSORS, **tensors}, **facts)), tmp_path / "cache")
    if dropped is None:
        require_supported(source, BUILDER)
        return
    with pytest.raises(EdgedraftError) as error:
        require_supported(source, BUILDER)
    rule = f"{source.path}: transformers drops {dropped} when it unpacks the file, and texts would be wrong"
    assert str(error.value) == f"{rule} - give the model's Hugging Face folder"
