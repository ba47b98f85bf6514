"""The formats of files that are read beside bundles: how one is written and read, and how it is mutated."""

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from tests.trust.mutations import mutate_bytes, mutate_json, mutate_safetensors, mutate_template
from tests.trust.subjects import TEXT, WORDS, make_pair

Mutation = Callable[[bytes, Random], bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """A kind of file: its name, how one is written and read, and how it is mutated.

    ``read`` returns JSON data. A ``summed`` file holds its own checksum, so that any change is refused or harmless.
    """

    file: str
    write: Callable[[Path], None]
    read: Callable[[Path], Any]
    mutate: Mutation = mutate_bytes
    summed: bool = False


def _mixed(first: Mutation, content: bytes, rng: Random) -> bytes:
    return (first if rng.random() < 0.6 else mutate_bytes)(content, rng)


def _write_counts(path: Path) -> None:
    from edgedraft.calibration.counts import Provenance, count_tokens
    from edgedraft.calibration.counts_file import write_counts

    provenance = Provenance(source="text", tokenizer_fingerprint="f" * 64)
    write_counts(path, count_tokens([("a", [1, 2, 2]), ("b", [3])], 9, provenance))


def _read_counts(path: Path) -> Any:
    from edgedraft.calibration.counts_file import read_counts

    return read_counts(path).by_group.tolist()


def _write_profile(path: Path) -> None:
    from edgedraft.devices import registry

    folder = Path(str(registry.__file__)).parent / "profiles"
    shutil.copy(folder / "intel-mtl-155h.toml", path)


def _read_profile(path: Path) -> Any:
    from edgedraft.devices.profile_file import read_profile

    return read_profile(path).name


_DEVICE = {
    "name": "P",
    "user_agent": "UA",
    "adapter": "",
    "cores": 4,
    "memory_gigabytes": 4,
    "shader_f16": False,
    "max_buffer_bytes": 1,
    "max_binding_bytes": 1,
}
_POSTED = {
    "device": _DEVICE,
    "onnxruntime": "1",
    "date": "2026-11-29",
    "provider": {"target": "wasm", "drafter": "wasm"},
    "report": {"ways": {"a": {"seconds": [0.5, 1, 2]}}},
}


def _read_posted(path: Path) -> Any:
    from edgedraft.devices.probing.posted import read_bench
    from edgedraft.runtime.base.files import read_json
    from edgedraft.runtime.base.records import to_plain
    from edgedraft.runtime.serving.guard import MAX_POST_BYTES

    return to_plain(read_bench(read_json(path, MAX_POST_BYTES)))


def _read_map(path: Path) -> Any:
    from edgedraft.exporter.vocab.reading import DeclaredMap, read_vocab_map

    read = read_vocab_map(path, DeclaredMap(vocab_size=64))
    ids = read.target_ids
    assert ids.ndim == 1 and ids.dtype == np.int64 and ids.min() >= 0, "a map that is none"
    assert read.target_vocab_size is None or ids.max() < read.target_vocab_size, "an id outside the vocabulary"
    return ids.tolist()


def _write_index_map(path: Path) -> None:
    from edgedraft.runtime.bundle.index_map_file import write_index_map
    from edgedraft.runtime.core.index_map import IndexMap

    write_index_map(path, IndexMap(target_ids=np.array([1, 5, 8], dtype=np.int64), target_vocab_size=9))


def _read_index_map(path: Path) -> Any:
    from edgedraft.runtime.bundle.index_map_file import read_index_map

    ids = read_index_map(path, 9).target_ids.tolist()
    assert ids == sorted(set(ids)) and ids[0] >= 0 and ids[-1] < 9, f"{ids} is no index map"
    return ids


def _write_gguf(path: Path) -> None:
    from gguf import GGUFWriter

    writer = GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_token_list(WORDS)
    writer.add_tensor("d2t", np.arange(4, dtype=np.int64))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _read_gguf(path: Path) -> Any:
    from edgedraft.exporter.models.gguf_header import gguf_architecture, read_gguf_header

    return [gguf_architecture(path).encode(errors="replace").decode(), len(read_gguf_header(path).tensors)]


def _write_parquet(path: Path) -> None:
    import pyarrow
    from pyarrow.parquet import write_table

    write_table(pyarrow.table({"prompt": WORDS, "completion": WORDS}), path)


def _read_samples(path: Path) -> Any:
    from edgedraft.calibration.data.reading import ReadReport, samples

    return [[number, sample.id] for number, sample in samples(path, ReadReport())]


_ENTRY = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "tools": [], "id": "x"}


def _mutate_lines(content: bytes, rng: Random) -> bytes:
    lines = content.splitlines()
    at = rng.randrange(len(lines))
    lines[at] = mutate_json(lines[at], rng)
    return b"\n".join(lines)


def _write_torch(path: Path) -> None:
    import torch

    torch.save({"a": torch.zeros(2, 3), "d2t": torch.arange(4)}, path)


def _read_torch(path: Path) -> Any:
    from edgedraft.exporter.vocab.torch_files import read_torch_weights

    return {name: list(array.shape) for name, array in read_torch_weights(path).items()}


def _write_record(path: Path) -> None:
    from edgedraft.runtime.base.kept import write_record
    from edgedraft.runtime.bundle.manifest import FileEntry

    write_record(path, FileEntry(bytes=5, sha256="0" * 64))


def _read_record(path: Path) -> Any:
    from edgedraft.runtime.base.kept import record_reader
    from edgedraft.runtime.base.records import to_plain
    from edgedraft.runtime.bundle.manifest import FileEntry

    return to_plain(record_reader(FileEntry)(path))


def _write_model_file(path: Path) -> None:
    """Write a tiny model's folder around the file that is mutated."""
    make_pair(path.parent / "pair")
    for file in (path.parent / "pair" / "target").iterdir():
        shutil.copy(file, path.parent)
    shutil.rmtree(path.parent / "pair")


def _read_tokenizer(path: Path) -> Any:
    from edgedraft.runtime.base.tokenizer_files import encoding_fingerprint, tokenizer_fingerprint
    from edgedraft.runtime.text.codec import TextCodec

    codec = TextCodec(path.parent)
    ids = codec.encode_prompt(TEXT * 20)
    return [len(codec.decode(ids[:99]).encode()), tokenizer_fingerprint(path), encoding_fingerprint(path)]


def _read_chat(path: Path) -> Any:
    from edgedraft.runtime.text.codec import TextCodec

    return TextCodec(path.parent).encode_chat([{"role": "user", "content": TEXT}])[:9]


def _read_config(path: Path) -> Any:
    from edgedraft.exporter.models.end_tokens import end_token_ids
    from edgedraft.exporter.models.sources import resolve

    source = resolve(str(path.parent), path.parent)
    return [source.kind, [int(each) for each in end_token_ids(path.parent)]]


def _npy(path: Path) -> None:
    content = io.BytesIO()
    np.save(content, np.array([0, 60, 61, 63], dtype=np.int64))
    path.write_bytes(content.getvalue())


_JSON = partial(_mixed, mutate_json)
FORMATS = (
    Format(file="counts.safetensors", write=_write_counts, read=_read_counts, mutate=mutate_safetensors, summed=True),
    Format(file="profile.toml", write=_write_profile, read=_read_profile),
    Format(
        file="posted.json", write=lambda path: path.write_text(json.dumps(_POSTED)), read=_read_posted, mutate=_JSON
    ),
    Format(file="map.json", write=lambda path: path.write_text("[0, 3, 5, 9]"), read=_read_map, mutate=_JSON),
    Format(file="map.txt", write=lambda path: path.write_text("0\n3\n5\n9\n"), read=_read_map),
    Format(file="d2t.npy", write=_npy, read=_read_map),
    Format(file="map.safetensors", write=_write_index_map, read=_read_index_map, mutate=mutate_safetensors),
    Format(file="model.gguf", write=_write_gguf, read=_read_gguf),
    Format(file="data.parquet", write=_write_parquet, read=_read_samples),
    Format(
        file="data.jsonl",
        write=lambda path: path.write_text(f"{json.dumps(_ENTRY)}\n" * 3),
        read=_read_samples,
        mutate=partial(_mixed, _mutate_lines),
    ),
    Format(
        file="data.json", write=lambda path: path.write_text(json.dumps([_ENTRY])), read=_read_samples, mutate=_JSON
    ),
    Format(file="weights.bin", write=_write_torch, read=_read_torch),
    Format(file="record.json", write=_write_record, read=_read_record, mutate=_JSON, summed=True),
    Format(file="tokenizer.json", write=_write_model_file, read=_read_tokenizer, mutate=_JSON),
    Format(file="tokenizer_config.json", write=_write_model_file, read=_read_chat, mutate=_JSON),
    Format(file="chat_template.jinja", write=_write_model_file, read=_read_chat, mutate=mutate_template),
    Format(file="config.json", write=_write_model_file, read=_read_config, mutate=_JSON),
)
