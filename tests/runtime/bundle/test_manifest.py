"""A manifest's own rules: the schema it is written in, the sizes that must fit, the paths that must stay inside."""

import pytest

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.records import from_plain, to_plain
from edgedraft.runtime.bundle.manifest import SCHEMA_VERSION, BundleManifest, migrated

MODEL = {
    "name": "tiny",
    "base_model": "maker/tiny",
    "license": "apache-2.0",
    "graph": "target/model.onnx",
    "precision": "int4",
    "parameters": 10,
    "weight_bytes": 5,
    "conversion": "sha256",
    "data": ["target/model.onnx.data"],
    "largest_tensor_bytes": 5,
    "half": False,
    "operators": ["GroupQueryAttention", "MatMulNBits"],
    "state_bytes": 0,
}
PLAIN = {
    "schema_version": SCHEMA_VERSION,
    "target": MODEL,
    "drafter": MODEL | {"graph": "drafter/model.onnx"},
    "index_map": "map.safetensors",
    "target_vocab_size": 9,
    "context_length": 32,
    "end_token_ids": [8],
    "tokenizer_fingerprint": "f",
    "calibration": {
        "prompts": "coding",
        "ranking_prompts": 2,
        "scoring_prompts": 1,
        "ranking_tokens": 20,
        "scoring_tokens": 10,
        "coverage": 0.9,
        "coverage_low": 0.8,
        "coverage_high": 1.0,
        "ranked_by": ["target", "drafter"],
    },
    "plan": {
        "draft_vocab_size": 3,
        "draft_length": 2,
        "target_precision": "int4",
        "drafter_precision": "int4",
        "threads": 1,
        "predicted_tokens_per_second": 30.0,
        "predicted_plain_tokens_per_second": 20.0,
        "predicted_block_efficiency": 2.5,
        "predicted_acceptance_rate": 0.7,
        "target_pass_seconds": [0.05, 0.06],
        "drafter_pass_seconds": [0.01, 0.012],
        "speculate": True,
        "reason": "faster",
        "device": "laptop",
        "speed_up_low": 1.2,
        "speed_up_high": 1.7,
        "chance_to_pay": 0.9,
        "kernels": {"target": "stock", "drafter": "stock"},
        "policy": None,
        "conversation_rows": 0,
    },
    "files": {"target/model.onnx": {"bytes": 1, "sha256": "0"}},
    "provider": "webgpu",
    "divergence": {"precision": "int4", "kl_per_token": 0.02, "greedy_agreement": 0.95, "positions": 300},
    "drafter_divergence": None,
    "drafter_context_length": 512,
    "drafter_kind": "independent",
    "layer": None,
    "forecast": None,
    "head_rows": None,
}
HEAD = {"file": "drafter/head_rows.safetensors", "rows": 9, "width": 8, "bits": 4, "block_size": 32, "input_bits": 8}
WITH_ROWS = PLAIN | {"head_rows": HEAD, "plan": PLAIN["plan"] | {"conversation_rows": 16}}


OPTIONAL = (
    "provider",
    "divergence",
    "drafter_divergence",
    "drafter_context_length",
    "drafter_kind",
    "layer",
    "forecast",
)


def read(**changes):
    return from_plain(BundleManifest, PLAIN | changes, "manifest")


def test_a_manifest_reads_back():
    assert to_plain(read()) == PLAIN


def test_what_nobody_measured_is_not_made_up():
    plain = {name: value for name, value in PLAIN.items() if name not in OPTIONAL}
    manifest = from_plain(BundleManifest, plain, "manifest")
    assert [getattr(manifest, name) for name in OPTIONAL] == ["cpu", None, None, None, "independent", None, None]


def test_a_context_of_nothing_is_refused():
    for name in ("context_length", "drafter_context_length"):
        with pytest.raises(EdgedraftError, match=r"context lengths: expected 1\.\.268435456, got 0"):
            read(**{name: 0})


def test_a_bundle_written_before_operators_were_told_opens_and_names_none():
    model = {name: value for name, value in MODEL.items() if name != "operators"}
    assert read(target=model).target.operators == ()


@pytest.mark.parametrize("version", [0, 3, SCHEMA_VERSION + 1])
def test_another_schema_is_refused(version, raises_exactly):
    remedy = "export the bundle again or install a matching edgedraft"
    with raises_exactly(f"schema_version: this edgedraft reads 4 and {SCHEMA_VERSION}, got {version} - {remedy}"):
        migrated(PLAIN | {"schema_version": version})


def test_the_schema_before_has_independent_drafters():
    manifest = from_plain(BundleManifest, migrated(PLAIN | {"schema_version": 4}), "manifest")
    assert (manifest.schema_version, manifest.drafter_kind, manifest.layer) == (SCHEMA_VERSION, "independent", None)


LAYER = {"tapped_layers": [2, 5], "feature_width": 8, "fusing": "drafter/f.onnx", "borrowed": ["table"]}


def test_a_layer_is_read_and_its_graph_is_among_the_files():
    manifest = read(drafter_kind="eagle3", layer=LAYER)
    assert (manifest.layer.tapped_layers, manifest.layer.copied_bytes) == ((2, 5), 0)
    assert "drafter/f.onnx" in manifest.named_files


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"drafter_kind": "medusa", "layer": LAYER},
            "drafter_kind: this edgedraft runs independent, eagle, eagle3, mtp, got medusa",
        ),
        ({"drafter_kind": "eagle"}, "layer: expected what an eagle drafter has - export the bundle again"),
        ({"layer": LAYER}, "layer: expected what an independent drafter has, got LayerEntry"),
    ],
)
def test_kinds_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(EdgedraftError) as error:
        read(**changes)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("outside", ["/etc/passwd", "../x.onnx", "a\\b.onnx"])
def test_a_fusing_graph_outside_of_the_bundle_is_refused(outside):
    with pytest.raises(EdgedraftError, match="expected a relative path inside the bundle"):
        read(drafter_kind="eagle3", layer=LAYER | {"fusing": outside})


def test_a_draft_vocabulary_larger_than_the_targets_is_refused(raises_exactly):
    with raises_exactly("draft_vocab_size: expected 1..9, got 10 - export the bundle again"):
        read(plan=PLAIN["plan"] | {"draft_vocab_size": 10})


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "../model.onnx", "a/../../b", "a/..", "..", "a\\b", "C:/model.onnx", "file:model"]
)
@pytest.mark.parametrize("key", ["files", "target", "drafter", "index_map", "data"])
def test_paths_that_could_lead_outside_are_refused(key, name, raises_exactly):
    changed = {
        "files": {name: {"bytes": 1, "sha256": "0"}},
        "target": MODEL | {"graph": name},
        "drafter": MODEL | {"graph": name},
        "index_map": name,
        "data": MODEL | {"data": [MODEL["graph"], name]},
    }
    with raises_exactly(f"files: expected a relative path inside the bundle, got {name!r}"):
        read(**{"drafter" if key == "data" else key: changed[key]})


@pytest.mark.parametrize("name", ["model.onnx", "a/b/c.onnx", "a..b", "..hidden/x"])
def test_paths_inside_are_kept(name):
    assert read(index_map=name).index_map == name


def test_a_mistyped_key_is_named_with_its_path():
    with pytest.raises(EdgedraftError, match=r"^manifest: files\.a: bytes: expected int, got '1'$"):
        read(files={"a": {"bytes": "1", "sha256": "0"}})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": 0}, "head_rows: rows: expected 1..16777216, got 0"),
        (
            {"rows": 2},
            "head_rows: rows: expected the 3 of the draft vocabulary or more, got 2 - export the bundle again",
        ),
        ({"width": 2**22 + 1}, "head_rows: width: expected 1..4194304, got 4194305"),
        ({"bits": 3}, "head_rows: bits: expected one of (4, 8, 16, 32), got 3"),
        ({"block_size": 0}, "head_rows: block_size: expected one of (16, 32, 64, 128, 256), got 0"),
        ({"bits": 32}, "head_rows: block_size: expected one of (0,), got 32"),
        ({"bits": 16, "block_size": 0}, "head_rows: input_bits: expected one of (32,), got 8"),
        ({"input_bits": 4}, "head_rows: input_bits: expected one of (8, 32), got 4"),
        ({"file": "../head"}, "files: expected a relative path inside the bundle, got '../head'"),
    ],
)
def test_a_head_that_cannot_be(change, message, raises_exactly):
    with raises_exactly(message):
        from_plain(BundleManifest, WITH_ROWS | {"head_rows": HEAD | change}, "manifest")


def test_a_head_is_read_and_its_file_is_among_the_files():
    manifest = from_plain(BundleManifest, WITH_ROWS, "manifest")
    assert to_plain(manifest) == WITH_ROWS
    assert "drafter/head_rows.safetensors" in manifest.named_files


def test_rows_without_a_head(raises_exactly):
    rule = "plan: conversation_rows: expected 0 in a bundle without head_rows, got 16 - export the bundle again"
    with raises_exactly(rule):
        from_plain(BundleManifest, WITH_ROWS | {"head_rows": None}, "manifest")


def test_a_layer_has_no_head_of_its_own_rows(raises_exactly):
    layer = {"tapped_layers": [], "feature_width": 8, "fusing": None, "borrowed": []}
    with raises_exactly("head_rows: expected an independent drafter, got eagle - export the bundle again"):
        from_plain(BundleManifest, WITH_ROWS | {"drafter_kind": "eagle", "layer": layer}, "manifest")
