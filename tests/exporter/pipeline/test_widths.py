"""A pair padded to different widths exports, drafts tokens that both have, and gives the target's own text."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models

import edgedraft
from edgedraft.exporter.pipeline.bench import FULL, TRIMMED, bench_bundle
from edgedraft.exporter.pipeline.plan import plan
from edgedraft.exporter.pipeline.requests import BenchRequest, ExportRequest, PlanRequest
from edgedraft.exporter.pipeline.trim import TrimRequest, trim
from edgedraft.runtime.core.sampling import SamplingSettings
from edgedraft.runtime.engine import DecodingOptions

WORDS, NARROW, WIDE = 250, 256, 320
WIDTHS = [(WIDE, NARROW), (NARROW, WIDE)]


def table(width: int, noise: float) -> np.ndarray:
    """Logits by last token; two sizes agree, except for noise, where both have a row. Padding may be predicted, too."""
    whole = np.random.default_rng(0).normal(0, 3, (WIDE, WIDE))
    return (whole + noise * np.random.default_rng(1).normal(0, 3, (WIDE, WIDE)))[:width, :width].astype(np.float32)


def save_model(folder: Path, logits: np.ndarray) -> Path:
    """A decoder whose next token depends only on the last one, in the form of Optimum's folders."""
    folder.mkdir(parents=True)
    width, value, cache = len(logits), helper.make_tensor_value_info, ["batch", 1, "context", 1]
    names = [f"0.{part}" for part in ("key", "value")]
    ids = [value("input_ids", TensorProto.INT64, ["b", "s"]), value("attention_mask", TensorProto.INT64, ["b", "t"])]
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["embedding", "input_ids"], ["states"], axis=0),
            helper.make_node("MatMul", ["states", "head.weight"], ["logits"], name="head"),
            *(helper.make_node("Identity", [f"past_key_values.{name}"], [f"present.{name}"]) for name in names),
        ],
        "chain",
        [*ids, *(value(f"past_key_values.{name}", TensorProto.FLOAT, cache) for name in names)],
        [
            value("logits", TensorProto.FLOAT, ["b", "s", width]),
            *(value(f"present.{name}", TensorProto.FLOAT, cache) for name in names),
        ],
        [
            numpy_helper.from_array(np.eye(width, dtype=np.float32), "embedding"),
            numpy_helper.from_array(logits, "head.weight"),
        ],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), folder / "model.onnx")
    config = {"model_type": "llama", "vocab_size": width, "hidden_size": width, "num_attention_heads": 1}
    config |= {"max_position_embeddings": 256, "eos_token_id": 1}
    (folder / "config.json").write_text(json.dumps(config))
    made = Tokenizer(models.WordLevel({f"w{number}": number for number in range(WORDS)}, unk_token="w0"))
    made.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module", params=WIDTHS, ids=lambda widths: "over".join(map(str, widths)))
def asked(request, tmp_path_factory):
    """Settings of an export whose target and drafter have these widths."""
    root, (target, drafter) = tmp_path_factory.mktemp("widths"), request.param
    prompts = root / "prompts.jsonl"
    prompts.write_text("\n".join(json.dumps({"prompt": f"w{number} w{number + 9}"}) for number in range(8)))
    return {
        "target": str(save_model(root / "target", table(target, 0.0))),
        "drafter": str(save_model(root / "drafter", table(drafter, 0.2))),
        "prompts": str(prompts),
        "cache": str(root / "cache"),
        "max_new_tokens": 12,
        "threads": (2,),
    }


@pytest.fixture(scope="module")
def bundle(asked, tmp_path_factory):
    output = tmp_path_factory.mktemp("bundle") / "bundle"
    edgedraft.export(ExportRequest(**asked, vocab_size=128, draft_length=3, output=output))
    return output


def texts(model, policy: str, prompt_ids: list[int], sampling: SamplingSettings | None = None) -> list[int]:
    options = DecodingOptions(policy=policy, sampling=sampling, seed=None if sampling is None else 5)
    return [token for round_ in model.rounds(prompt_ids, model.limits(40), options) for token in round_.token_ids]


def test_every_policy_gives_the_targets_text(bundle, asked):
    model = edgedraft.load(bundle, threads=2)
    width = model.bundle.manifest.target_vocab_size
    for prompt_ids in ([3, 4, 5], [width - 1, 7]):
        plain = texts(model, "plain", prompt_ids)
        assert all(texts(model, policy, prompt_ids) == plain for policy in ("fixed", "confident", "ngram", "adaptive"))
    assert model.bundle.index_map.target_ids.max() < NARROW
    drawn = texts(model, "fixed", [width - 1, 7], SamplingSettings(temperature=0.8, repetition_penalty=1.2))
    assert max(drawn) < width


def test_the_bench_takes_the_full_drafter_too(bundle, asked):
    request = BenchRequest(bundle=bundle, prompts=asked["prompts"], number=2, max_new_tokens=12, policies=())
    whole = next((Path(asked["cache"]) / "onnx").glob("drafter-*"))
    measured = bench_bundle(BenchRequest(**{**_fields(request), "full_drafter": whole}))
    assert {TRIMMED, FULL} <= set(measured.report.ways)
    assert all(not differing for differing in measured.divergences.values())


def _fields(request: BenchRequest) -> dict[str, object]:
    return {name: getattr(request, name) for name in request.__dataclass_fields__}


def test_a_later_trim_takes_rows_of_the_full_drafter(bundle, asked, tmp_path):
    made = trim(TrimRequest(model=bundle, vocab_size=NARROW, output=tmp_path / "more", cache=Path(asked["cache"])))
    assert made.draft_vocab_size == NARROW
    model = edgedraft.load(tmp_path / "more", threads=2)
    ids = [model.bundle.manifest.target_vocab_size - 1, 9]
    assert texts(model, "fixed", ids) == texts(model, "plain", ids)


@pytest.mark.parametrize("sampling", [None, SamplingSettings(temperature=0.8)])
def test_no_plan_drafts_more_than_both_have(asked, sampling):
    planned = plan(PlanRequest(**asked, sampling=sampling)).decision
    assert max(option.draft_vocab_size for option in planned.scored.ranked()) == NARROW
    with pytest.raises(edgedraft.EdgedraftError, match=f"expected 1..{NARROW}, got {NARROW + 1}"):
        plan(PlanRequest(**asked, vocab_size=NARROW + 1))
