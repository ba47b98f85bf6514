"""An EAGLE drafter is recognised, and refused in one line wherever a whole model is needed."""

import json

import pytest

from edgedraft.exporter.models.admission import require_supported
from edgedraft.exporter.models.convert import convert
from edgedraft.exporter.models.eagle.telling import is_eagle
from edgedraft.exporter.models.pair import PairRequest, prepare_pair
from edgedraft.exporter.models.sources import resolve
from edgedraft.exporter.models.via_optimum import EXPORT_BACKENDS
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.onnx.session import SessionSettings
from tests.plain_eagle import KINDS, TRAINERS, save_checkpoint

REMEDY = "give it as the drafter of the target that it was trained for"


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("architectures", [True, False])
def test_every_trainers_checkpoint_is_told_and_refused(tmp_path, name, architectures):
    """Also with the target's configuration, which names the target's architecture."""
    folder = save_checkpoint(tmp_path / "layer", TRAINERS[name])
    if architectures:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"architectures": ["LlamaForCausalLM"]}))
    source = resolve(str(folder), tmp_path)
    kind = "eagle3" if TRAINERS[name].eagle3 else "eagle"
    for backend in EXPORT_BACKENDS:
        with pytest.raises(EdgedraftError) as error:
            require_supported(source, backend)
        told = str(error.value)
        assert told.startswith(
            f"{folder}: expected a model that decodes by itself, got {kind} drafter layer: reads the"
        )
        assert told.endswith(f" - {REMEDY}")
        assert "\n" not in told
    with pytest.raises(EdgedraftError, match="expected a model that decodes by itself"):
        convert(source, "int4", tmp_path / "cache")


def test_a_target_must_be_a_whole_model(tiny_pair, tmp_path):
    layer = save_checkpoint(tmp_path / "layer", TRAINERS["SpecForge"])
    request = PairRequest(
        target=str(layer),
        drafter=str(tiny_pair.drafter),
        target_precision="int4",
        drafter_precision="int4",
        settings=SessionSettings(threads=2),
    )
    with pytest.raises(EdgedraftError, match=f"{layer}: expected a model that decodes by itself, got eagle3 drafter"):
        prepare_pair(request, tmp_path / "cache")


def test_a_broken_layer_gets_its_own_line(tmp_path):
    folder = save_checkpoint(tmp_path / "layer", TRAINERS["SafeAILab EAGLE-3"])
    (folder / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLMEagle3"]}))
    with pytest.raises(EdgedraftError) as error:
        require_supported(resolve(str(folder), tmp_path), "builder")
    assert "config.json: missing key hidden_size" in str(error.value)


def test_whole_models_are_none(tiny_pair):
    assert not is_eagle(tiny_pair.target)
