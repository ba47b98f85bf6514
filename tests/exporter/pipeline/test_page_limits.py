"""What no browser could run is refused from the manifest alone, in one line that ends with the command to run."""

from dataclasses import replace
from pathlib import Path

import pytest

from edgedraft.exporter.pipeline.page_limits import require_page_takes
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.bundle.manifest import (
    EAGLE3,
    ODD_TOKEN_TABLE,
    SCHEMA_VERSION,
    BundleManifest,
    FileEntry,
    LayerEntry,
    ModelEntry,
)

BUNDLE = Path("my bundle")
AGAIN = "run edgedraft export 'my bundle' --target big --drafter small"
LAYER = LayerEntry(tapped_layers=(0,), feature_width=8, fusing=None, borrowed=())


def model(name, folder, data=1, **facts):
    values = {"base_model": name, "license": "", "precision": "int4", "parameters": 1, "weight_bytes": 1}
    needs = {"conversion": "", "largest_tensor_bytes": 1, "half": False}
    files = tuple(f"{folder}/{number}.data" for number in range(data))
    return ModelEntry(name=name, graph=f"{folder}/model.onnx", data=files, **values | needs | facts)


@pytest.fixture
def manifest(make_plan, make_calibration):
    """Makes a manifest; ``sizes`` are those of the data files of target and drafter, in bytes."""

    def make(target=(10**9,), drafter=(10**9,), of_target=None, **facts) -> BundleManifest:
        entries = {}
        for folder, sizes in (("target", target), ("drafter", drafter)):
            entries[f"{folder}/model.onnx"] = FileEntry(bytes=1000, sha256="")
            entries |= {f"{folder}/{i}.data": FileEntry(bytes=size, sha256="") for i, size in enumerate(sizes)}
        values = {"schema_version": SCHEMA_VERSION, "index_map": "map", "target_vocab_size": 4096, "context_length": 64}
        texts = {"end_token_ids": (1,), "tokenizer_fingerprint": "", "files": entries}
        models = {
            "target": model("big", "target", len(target), **of_target or {}),
            "drafter": model("small", "drafter", len(drafter)),
        }
        made = {"plan": make_plan(), "calibration": make_calibration()}
        return BundleManifest(**values | texts | models | made | facts)

    return make


def refusal(manifest) -> str:
    with pytest.raises(EdgedraftError) as error:
        require_page_takes(BUNDLE, manifest)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_files_up_to_the_limits_are_taken(manifest):
    require_page_takes(BUNDLE, manifest(target=(10**9,) * 3, drafter=(10**9,)))
    require_page_takes(BUNDLE, manifest(of_target={"operators": ("GatherBlockQuantized", "MatMulNBits")}))


def test_a_file_that_is_too_large(manifest):
    assert refusal(manifest(drafter=(1, 1_010_000_000))) == (
        f"my bundle: drafter/1.data: a browser takes files of at most 1 GB, got 1.01 GB - {AGAIN}"
    )


def test_models_that_are_too_large_together(manifest):
    sizes = {"target": (10**9,) * 3, "drafter": (10**9, 4 * 2**30 - 4 * 10**9 - 2000)}
    rule = "my bundle: a page holds less than 4.3 GB of models, what WebAssembly addresses, got 4.3 GB"
    smaller = "run edgedraft export 'my bundle' --target MODEL --drafter MODEL, with smaller models"
    assert refusal(manifest(**sizes)) == f"{rule} - {smaller}"
    fewer = f"{AGAIN} --target-precision int4 --drafter-precision int4"
    assert refusal(manifest(**sizes, of_target={"precision": "fp32"})) == f"{rule} - {fewer}"
    sizes["drafter"] = (10**9, sizes["drafter"][1] - 1)
    require_page_takes(BUNDLE, manifest(**sizes))


def test_a_token_table_without_a_kernel(manifest):
    odd = {"operators": ("GatherBlockQuantized", ODD_TOKEN_TABLE)}
    rule = "my bundle: target/model.onnx: no browser looks up packed tokens in rows of an odd number of blocks"
    assert refusal(manifest(of_target=odd)) == f"{rule} - {AGAIN}"


def test_drafters_and_states_that_pages_do_not_run(manifest):
    rule = "my bundle: a page runs drafters that decode by themselves, not layers that read the target's states"
    layer = manifest(drafter_kind=EAGLE3, layer=LAYER)
    assert refusal(layer) == f"{rule}, got eagle3 - {AGAIN.replace('small', 'MODEL')}"
    any_models = AGAIN.replace("big", "MODEL").replace("small", "MODEL")
    rule = "my bundle: a page keeps no recurrent states, got those of big"
    states = replace(manifest(), target=model("big", "target", state_bytes=8))
    assert refusal(states) == f"{rule} - {any_models}, with models of attention alone"
