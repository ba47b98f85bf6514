"""Fixtures that every room's tests share: a tiny real pair, its bundle, and the wheel."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edgedraft.calibration.counts import Provenance, TokenCounts
from edgedraft.calibration.data.samples import GROUPS
from edgedraft.calibration.prompts import Prompt
from edgedraft.exporter.bundle.contents import bundle_contents
from edgedraft.exporter.models.pair import Pair, PairRequest, prepare_pair
from edgedraft.exporter.pipeline.calibrating import PromptSet, calibrate_pair
from edgedraft.exporter.pipeline.planning import PlanningRequest, plan_here
from edgedraft.runtime.bundle.manifest import CalibrationEntry
from edgedraft.runtime.core.plan import DecodingPlan
from edgedraft.runtime.onnx.session import SessionSettings
from tests.choosing import is_fast

REPOSITORY = Path(__file__).resolve().parents[1]

VOCAB = 1024
TEXT = "def return for in range print list dict value index node left right sort merge the of a to"
WORDS = TEXT.split()


@pytest.hookimpl(tryfirst=True)  # before ``-m`` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        outside = any(item.get_closest_marker(name) for name in ("real", "browser"))
        if not outside and is_fast(item.path, getattr(item, "fixturenames", ())):
            item.add_marker("fast")


@dataclass(frozen=True, kw_only=True)
class TinyPair:
    """Two random Llamas that agree often but not always, and the cache they were converted into."""

    target: Path
    drafter: Path
    cache: Path


def save_tokenizer(folder: Path, words: list[str]) -> None:
    """A byte-level BPE tokenizer trained on ``words``, with a chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCAB, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet)
    tokenizer.train_from_iterator([" ".join(words)] * 4, trainer)
    template = "{% for m in messages %}<s>{{ m['role'] }}: {{ m['content'] }}</s>{% endfor %}<s>assistant: "
    whole = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", chat_template=template
    )
    whole.save_pretrained(folder)


def save_llama(folder: Path, noise: float) -> None:
    """A Llama of 2 layers whose logits are spread enough for varied text, moved away from the target by ``noise``."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        tie_word_embeddings=False,
        max_position_embeddings=512,
        bos_token_id=0,
        eos_token_id=1,
    )
    model = LlamaForCausalLM(config).float()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 2:
                scale = (4.0 if "lm_head" in name else 1.5) / weight.shape[1] ** 0.5
                weight.normal_(0.0, scale)
                weight.add_(torch.randn(weight.shape, generator=generator) * scale * noise)
    model.save_pretrained(folder)


@pytest.fixture(scope="session")
def make_plan():
    """Builds a plausible plan; keyword arguments change it."""

    def make(**changes) -> DecodingPlan:
        values = {"draft_vocab_size": 2048, "draft_length": 3, "target_precision": "int4", "drafter_precision": "int4"}
        speeds = {"predicted_tokens_per_second": 20.0, "predicted_plain_tokens_per_second": 15.0}
        passes = {"target_pass_seconds": (0.05, 0.06, 0.07), "drafter_pass_seconds": (0.01, 0.012)}
        rates = {"predicted_block_efficiency": 2.5, "predicted_acceptance_rate": 0.7}
        verdict = {"speculate": True, "reason": "speculate: it pays"}
        sure = {"speed_up_low": 1.1, "speed_up_high": 1.5, "chance_to_pay": 0.95}
        machine = {"threads": 2, "device": "a laptop"}
        return DecodingPlan(**values | speeds | passes | rates | verdict | sure | machine | changes)

    return make


@pytest.fixture(scope="session")
def make_calibration():
    """Builds a plausible calibration entry; keyword arguments change it."""

    def make(**changes) -> CalibrationEntry:
        counts = {"ranking_prompts": 4, "scoring_prompts": 5, "ranking_tokens": 100, "scoring_tokens": 110}
        shares = {"coverage": 0.75, "coverage_low": 0.5, "coverage_high": 0.875}
        return CalibrationEntry(**{"prompts": "my prompts"} | counts | shares | changes)

    return make


@pytest.fixture(scope="session")
def make_counts():
    """Builds counts from one row (all in the first group, of one prompt) or from a row a group; keywords change it."""

    def make(counts, prompts_by_group=None, **provenance) -> TokenCounts:
        rows = np.atleast_2d(np.asarray(counts, dtype=np.int64))
        by_group = np.vstack([rows, np.zeros((GROUPS - len(rows), rows.shape[1]), dtype=np.int64)])
        prompts = by_group.any(axis=1) if prompts_by_group is None else prompts_by_group
        told = {"source": "target", "tokenizer_fingerprint": "print", **provenance}
        return TokenCounts(
            by_group=by_group,
            prompts_by_group=np.asarray(prompts, dtype=np.int64),
            provenance=Provenance(**told),
        )

    return make


@pytest.fixture(scope="session")
def tiny_pair(tmp_path_factory) -> TinyPair:
    root = tmp_path_factory.mktemp("tiny")
    for name, noise in (("tiny-target", 0.0), ("tiny-drafter", 0.05)):
        save_tokenizer(root / name, WORDS)
        save_llama(root / name, noise)
    return TinyPair(target=root / "tiny-target", drafter=root / "tiny-drafter", cache=root / "cache")


@pytest.fixture(scope="session")
def tiny_opened(tiny_pair) -> Pair:
    """The pair at fp32, where one row and many rows agree but for about 3e-5 in the attention."""
    request = PairRequest(
        target=str(tiny_pair.target),
        drafter=str(tiny_pair.drafter),
        target_precision="fp32",
        drafter_precision="fp32",
        settings=SessionSettings(threads=2, context_length=256),
    )
    return prepare_pair(request, tiny_pair.cache)


@pytest.fixture(scope="session")
def tiny_prompts() -> PromptSet:
    rng = np.random.default_rng(7)
    prompts = tuple(
        Prompt(
            id=f"p{number}",
            split=("rank", "score")[number % 2],
            messages=({"role": "user", "content": " ".join(rng.choice(WORDS, 6))},),
        )
        for number in range(24)
    )
    return PromptSet(name="tiny prompts", prompts=prompts, max_new_tokens=40)


@pytest.fixture(scope="session")
def tiny_planned(tiny_opened, tiny_pair, tiny_prompts):
    """Calibration and plan of the tiny pair, with a fixed 256-token draft vocabulary."""
    import time

    calibration = calibrate_pair(tiny_opened, tiny_prompts, tiny_pair.cache)
    request = PlanningRequest(draft_vocab_size=256)
    planned = plan_here([tiny_opened], calibration, request, time.perf_counter, tiny_pair.cache)
    return calibration, planned


@pytest.fixture(scope="session")
def tiny_bundle(tiny_planned, tiny_prompts, tmp_path_factory) -> Path:
    from edgedraft.exporter.bundle.writing import write_bundle

    path = tmp_path_factory.mktemp("bundles") / "tiny"
    write_bundle(bundle_contents(*tiny_planned, tiny_prompts.name), path)
    return path


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """The project's wheel, built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(REPOSITORY)]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("edgedraft-*.whl"))
