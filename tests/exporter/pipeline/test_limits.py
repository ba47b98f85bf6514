"""Models that cannot be held are refused as early as their sizes are known: before converting, before sampling."""

import dataclasses
import json

import pytest

from edgedraft.devices.registry import find_profile
from edgedraft.exporter.graph.precisions import precision_named
from edgedraft.exporter.graph.providers import PROVIDERS
from edgedraft.exporter.models.sources import GGUF, HUGGING_FACE, ModelSource
from edgedraft.exporter.pipeline.limits import check_pair, check_source, provider_on, table_bytes
from edgedraft.runtime.base.errors import EdgedraftError

WEBGPU = PROVIDERS["webgpu"]
QWEN = {"vocab_size": 151_936, "hidden_size": 1536}


def source(folder, config: dict[str, object], kind: str = HUGGING_FACE) -> ModelSource:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    facts = {"base_model": "o/m", "license": "MIT", "identity": "i"}
    return ModelSource(kind=kind, path=folder, name="qwen", **facts)


@pytest.mark.parametrize(
    ("role", "precision", "nbytes"),
    [
        ("target", "int4", 151_936 * 768),
        ("target", "int8", 151_936 * 1536),
        ("target", "fp32", 151_936 * 1536 * 4),
        ("drafter", "int8-dynamic", 151_936 * 1536),
    ],
)
def test_tables_take_their_bits_for_every_token(role, precision, nbytes):
    assert table_bytes(QWEN, role, precision_named(precision)) == nbytes
    assert table_bytes({"text_config": QWEN}, role, precision_named(precision)) == nbytes


def test_a_drafters_head_does_not_count_since_it_is_cut():
    mixed = dataclasses.replace(precision_named("int8"), embedding_bits=4)
    assert table_bytes(QWEN, "drafter", mixed) == 151_936 * 768
    assert table_bytes(QWEN, "target", mixed) == 151_936 * 1536


@pytest.mark.parametrize("config", [{}, {"vocab_size": 10}, {"vocab_size": None, "hidden_size": 4}])
def test_a_configuration_that_does_not_tell_is_left_to_the_graph(config, tmp_path):
    assert table_bytes(config, "target", precision_named("fp32")) is None
    check_source(source(tmp_path / "m", config), "target", "fp32", WEBGPU)


def test_a_source_too_large_is_refused_before_it_is_converted(tmp_path):
    check_source(source(tmp_path / "m", QWEN), "target", "int4", WEBGPU)
    check_source(source(tmp_path / "m", QWEN), "target", "int8", PROVIDERS["wasm"])
    check_source(source(tmp_path / "m", QWEN, GGUF), "target", "int8", WEBGPU)
    with pytest.raises(EdgedraftError) as error:
        check_source(source(tmp_path / "m", QWEN), "target", "int8", WEBGPU)
    assert str(error.value) == (
        "target: the token table of qwen in int8: webgpu binds at most 128 MiB as one tensor, got 222.6 MiB - "
        "choose a precision of fewer bits, a model with fewer tokens or another provider"
    )


def test_a_pair_is_judged_by_what_is_left_of_the_drafters_head(one_node_pairs, tmp_path):
    pair = one_node_pairs.pair(tmp_path)
    whole, cut = 192 * 16, 64 * 16
    check_pair(pair, dataclasses.replace(WEBGPU, largest_tensor_bytes=whole), None, 192)
    with pytest.raises(EdgedraftError, match=r"^target: head.values: webgpu binds at most 0 MiB"):
        check_pair(pair, dataclasses.replace(WEBGPU, largest_tensor_bytes=whole - 1), None)
    pair.target = one_node_pairs.folder(tmp_path / "tiny", width=64)
    limited = dataclasses.replace(WEBGPU, largest_tensor_bytes=cut)
    check_pair(pair, limited, None)
    with pytest.raises(EdgedraftError, match=r"^drafter: head.values.trimmed: webgpu binds at most 0 MiB"):
        check_pair(pair, limited, None, 128)


def test_files_are_judged_by_the_device(one_node_pairs, tmp_path):
    pair, phone = one_node_pairs.pair(tmp_path), find_profile("sd-8-gen-3")
    check_pair(pair, WEBGPU, phone)
    with (pair.target.path / "model.onnx.more").open("wb") as file:
        file.truncate(10**9)
    with pytest.raises(EdgedraftError) as error:
        check_pair(pair, WEBGPU, phone)
    assert str(error.value) == (
        f"{phone.name}: a page there should load at most 1000 MB of models with webgpu, got 1000 MB, 2.1 GB while they "
        "load - choose a precision of fewer bits, smaller models or another device"
    )
    check_pair(pair, WEBGPU, None)
    check_pair(pair, PROVIDERS["cpu"], phone)


def test_a_laptops_gpu_binds_more_than_every_gpu_must():
    assert provider_on(WEBGPU, None).largest_tensor_bytes is None
    assert provider_on(WEBGPU, find_profile("apple-m2")).largest_tensor_bytes is None
    for name in ("sd-8-gen-3", "rpi5"):
        assert provider_on(WEBGPU, find_profile(name)) == WEBGPU
