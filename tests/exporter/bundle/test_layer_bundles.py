"""Bundles whose drafter is a layer on the target: what is shared, what is listed, and trimming to any size."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

import edgedraft
from edgedraft.exporter.bundle.card import model_card
from edgedraft.exporter.bundle.retrim import retrim_bundle
from edgedraft.exporter.bundle.writing import is_current, write_bundle
from edgedraft.exporter.graph.loading import load_graph
from edgedraft.exporter.graph.providers import PROVIDERS
from edgedraft.exporter.pipeline.phone_site import PhoneRequest, offered_site
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.bundle.manifest import MANIFEST_NAME
from edgedraft.runtime.bundle.reading import read_bundle
from edgedraft.runtime.core.options import DecodingOptions
from edgedraft.runtime.core.policies import POLICIES
from tests.exporter.layer_bundles import contents_of, open_layer
from tests.laws.agreeing_eagle import save_pair

PRECISIONS = (("fp32", "fp32"), ("int4", "int4"), ("fp32", "int4"))
every_layer = pytest.mark.parametrize("name", ["EAGLE-2", "EAGLE-3"])
every_precision = pytest.mark.parametrize("precisions", PRECISIONS, ids="-".join)


@pytest.fixture(scope="module")
def root(tmp_path_factory, tiny_pair) -> Path:
    folder = tmp_path_factory.mktemp("layers")
    save_pair(folder, tiny_pair.target)
    return folder


@pytest.fixture
def contents(root, name, precisions, make_plan, make_calibration):
    return contents_of(open_layer(root, name, *precisions), 256, make_plan, make_calibration)


@pytest.fixture
def bundle(contents, tmp_path) -> Path:
    write_bundle(contents, tmp_path / "bundle")
    return tmp_path / "bundle"


def texts(bundle: Path, policy: str, prompts=((3, 4, 5, 6), (9, 8, 7))) -> tuple[list[list[int]], int]:
    """The tokens of each answer, and how many drafts were accepted."""
    engine = edgedraft.load(bundle, threads=2)
    limits, options = engine.limits(24), DecodingOptions(policy=policy)
    answers = [list(engine.rounds(prompt, limits, options)) for prompt in prompts]
    said = [[token for round_ in answer for token in round_.token_ids] for answer in answers]
    return said, sum(round_.accepted for answer in answers for round_ in answer)


def everything(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def stored_bytes(graph: Path, location: str) -> int:
    """The bytes of the graph's tensors that lie in the file called ``location``."""
    tensors = [value.const_value for value in load_graph(graph).graph.initializers.values()]
    return sum(each.nbytes for each in tensors if isinstance(each, ir.ExternalTensor) and each.location == location)


@every_layer
@every_precision
def test_the_table_is_the_targets_own_bytes(bundle, contents):
    """One file for both graphs; the layer's own data has no room for a second copy of it."""
    manifest = read_bundle(bundle).manifest
    table = 1024 * 128 * (1 if contents.pair.target.precision == "int4" else 8) // 2
    assert stored_bytes(bundle / manifest.drafter.graph, "target/model.onnx.data") >= table
    assert manifest.layer.copied_bytes == 0
    own = sum(entry.bytes for file, entry in manifest.files.items() if file.startswith("drafter/") and "onnx" in file)
    assert own < manifest.drafter.weight_bytes * 1.5 + 150_000  # rotary tables, norms and the fusing product
    assert set(manifest.drafter.data) >= {"target/model.onnx.data", "drafter/model.onnx.data"}
    assert set(manifest.named_files) <= set(manifest.files)


@every_layer
@pytest.mark.parametrize("precisions", PRECISIONS[:1], ids="-".join)
def test_the_manifest_and_the_card_say_what_the_layer_reads(bundle, name):
    manifest = read_bundle(bundle).manifest
    three = name == "EAGLE-3"
    assert manifest.drafter_kind == ("eagle3" if three else "eagle")
    assert manifest.layer.tapped_layers == ((0, 1, 1) if three else ())
    assert manifest.layer.feature_width == (3 if three else 1) * 128
    assert manifest.layer.fusing == ("drafter/fusing.onnx" if three else None)
    assert manifest.layer.borrowed == (("table",) if three else ("table", "head"))
    card = " ".join(model_card(manifest).split())
    assert ("layers 0, 1, 1. It has the token embedding of the target, and the LM head of its own" in card) == three
    assert ("state after the final norm. It has the token embedding and LM head of the target" in card) != three
    assert "onnxruntime-genai has no loop for such drafters" in card


@every_layer
@every_precision
def test_every_policy_gives_the_targets_own_text(bundle, precisions):
    plain, _ = texts(bundle, "plain")
    for policy in POLICIES:
        said, accepted = texts(bundle, policy)
        assert said == plain or precisions[0] != "fp32"
        assert accepted > 0 or policy != "fixed"  # others may decide not to draft


@every_layer
@every_precision
@pytest.mark.parametrize("in_place", [True, False])
def test_another_size_is_what_exporting_it_would_have_given(bundle, contents, root, tmp_path, in_place):
    """Smaller and larger; a borrowed head grows from the bundle's own target, an own one from the cache."""
    for size in (64, len(contents.pair.head_ids), 128):
        output = bundle if in_place else tmp_path / f"other {size}"
        cache = root / "cache" / "onnx" if contents.pair.drafter.borrowed == ("table",) else tmp_path / "no cache"
        manifest = retrim_bundle(bundle, size, output, cache)
        fresh, kept = tmp_path / f"fresh {size}", contents.order.kept(size)
        plan = replace(contents.plan, draft_vocab_size=size)
        write_bundle(replace(contents, index_map=kept, plan=plan), fresh)
        found, wanted = everything(output), everything(fresh)
        differing = {file for file in found.keys() | wanted.keys() if found.get(file) != wanted.get(file)}
        assert differing <= {MANIFEST_NAME, "README.md", "drafter.onnx"}
        assert manifest.drafter == read_bundle(fresh).manifest.drafter
        assert read_bundle(output).manifest == manifest
        assert texts(output, "fixed") == texts(fresh, "fixed")
        bundle = output


@pytest.mark.parametrize("name", ["EAGLE-3"])
@pytest.mark.parametrize("precisions", PRECISIONS[:1], ids="-".join)
def test_more_tokens_than_an_own_head_scores_are_refused(bundle, contents, root, tmp_path):
    before = everything(bundle)
    with pytest.raises(EdgedraftError, match="its plan weighed the sizes"):
        retrim_bundle(bundle, 1024, bundle, root / "cache" / "onnx")
    with pytest.raises(EdgedraftError, match=r"its drafter holds 256 tokens, and the whole one is not at .* got 640"):
        retrim_bundle(bundle, 640, bundle, tmp_path / "elsewhere")
    assert everything(bundle) == before


@pytest.mark.parametrize("name", ["EAGLE-2"])
@pytest.mark.parametrize("precisions", PRECISIONS[:1], ids="-".join)
def test_a_bundle_that_is_there_is_known(bundle, contents):
    assert is_current(contents, bundle)
    other = contents.order.kept(128)
    assert not is_current(replace(contents, index_map=other), bundle)


@pytest.mark.parametrize("name", ["EAGLE-2"])
@pytest.mark.parametrize("precisions", PRECISIONS[:1], ids="-".join)
def test_other_providers_and_pages_are_refused_in_one_line(bundle, contents, tmp_path):
    with pytest.raises(EdgedraftError, match="a drafter that reads the target's states runs on the cpu, got webgpu"):
        write_bundle(replace(contents, provider=PROVIDERS["webgpu"]), tmp_path / "other")
    request = PhoneRequest(bundle=bundle, cache=tmp_path)
    rule = "a page runs drafters that decode by themselves, not layers that read the target's states, got eagle"
    with pytest.raises(EdgedraftError, match=rule):
        offered_site(request, tmp_path, None, print)


@pytest.mark.parametrize("name", ["EAGLE-3"])
@pytest.mark.parametrize("precisions", PRECISIONS[:1], ids="-".join)
def test_a_target_without_the_features_is_refused_when_it_is_opened(bundle, contents):
    shutil.copyfile(contents.pair.target.graph, bundle / "target" / "model.onnx")
    with pytest.raises(EdgedraftError, match="features must be 384 wide, got 0"):
        _unchecked(bundle)


def _unchecked(bundle: Path) -> None:
    """Open a bundle whose target's graph was replaced, with the manifest that such a bundle would have."""
    file = bundle / MANIFEST_NAME
    manifest = json.loads(file.read_text())
    manifest["files"]["target/model.onnx"]["bytes"] = (bundle / "target" / "model.onnx").stat().st_size
    file.write_text(json.dumps(manifest))
    edgedraft.load(bundle, threads=2, verify_hashes=False)


@pytest.mark.parametrize("name", ["EAGLE-3"])
@pytest.mark.parametrize("precisions", PRECISIONS[:1], ids="-".join)
def test_a_file_that_the_layer_reads_and_nobody_lists_is_refused(bundle):
    whole = json.loads((bundle / MANIFEST_NAME).read_text())
    for name in ("drafter/fusing.onnx", "drafter/fusing.onnx.data", "drafter.onnx"):
        files = {each: facts for each, facts in whole["files"].items() if each != name}
        (bundle / MANIFEST_NAME).write_text(json.dumps(whole | {"files": files}))
        with pytest.raises(EdgedraftError, match=f"files: {name} is not listed"):
            read_bundle(bundle)


@every_layer
@pytest.mark.parametrize("precisions", PRECISIONS[:1], ids="-".join)
def test_a_chat_continues_in_the_same_slot(bundle):
    """Prefixes are kept for target and layer; a cancelled answer leaves nothing behind."""
    engine = edgedraft.load(bundle, threads=2)
    limits, fixed = engine.limits(12), DecodingOptions(policy="fixed")
    rounds = engine.rounds([3, 4, 5, 6, 7], limits, fixed)
    first = next(rounds).token_ids
    rounds.close()
    prompt = [3, 4, 5, 6, 7, *first, 11, 12]
    found = [token for round_ in engine.rounds(prompt, limits, fixed) for token in round_.token_ids]
    assert found == texts(bundle, "plain", [prompt])[0][0][:12]
    assert np.isin(found, np.arange(1024)).all()
