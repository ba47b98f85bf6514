"""The graph of an MTP head computes what its layer in plain torch computes, and what transformers' own computes."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch

from edgedraft.exporter.graph.eagle.assembling import EagleGraphs, assemble
from edgedraft.exporter.graph.eagle.whole_head import put_whole_head
from edgedraft.exporter.graph.head import trim_head
from edgedraft.exporter.graph.loading import load_graph, vocabulary_width
from edgedraft.exporter.graph.packing import pack_model
from edgedraft.exporter.graph.precisions import PRECISIONS, TABLE
from edgedraft.exporter.graph.taps import tap_target, target_shape
from edgedraft.exporter.models.eagle.fitting import fitted
from edgedraft.exporter.models.mtp.reading import read_mtp
from edgedraft.runtime.core.index_map import IndexMap
from tests.exporter.families import build, open_family
from tests.exporter.graph.eagle.drafting import CONTEXT, Drafter, draft
from tests.plain_eagle import EPSILON, HEAD_SIZE, HIDDEN, VOCAB
from tests.plain_mtp import FAMILIES, KINDS, SIZES, Family, PlainMtp, random_head, save_head

PROMPT, DEPTHS = 7, 4
FP32 = TABLE["fp32"]
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def target(tiny_opened) -> ir.Model:
    return ir.external_data.load_to_model(load_graph(tiny_opened.target.graph))


@pytest.fixture(scope="module")
def ends(tiny_pair) -> tuple[np.ndarray, np.ndarray]:
    """The target's table and head, (vocab, hidden) each."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_pair.target)
    return model.model.embed_tokens.weight.detach().numpy(), model.lm_head.weight.detach().numpy()


def made_for(target: ir.Model, folder: Path, kind: str, precision: str = "fp32") -> EagleGraphs:
    read = fitted(read_mtp(save_head(folder, FAMILIES[kind]), kind), target_shape(target))
    return assemble(read, target, TABLE[precision], CONTEXT)


def case(rows: int = PROMPT, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random states of the target, and tokens for as many rows and the drafts after them."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, HIDDEN)).astype(np.float32), rng.integers(0, VOCAB, rows + DEPTHS)


def check(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    assert len(found) == len(expected) == 2 * (1 + DEPTHS)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * max(np.abs(theirs).max(), 1.0))
    assert np.abs(expected[0] - expected[2]).max() > 0.1  # another depth says something else


@every_kind
def test_logits_and_states_are_those_of_plain_torch_at_every_depth(graphs, target, ends, tmp_path, kind):
    features, ids = case()
    plain = PlainMtp(FAMILIES[kind], random_head(FAMILIES[kind]), *ends)
    made = made_for(target, tmp_path, kind)
    assert made.fusing is None
    check(draft(Drafter(graphs, made), features, ids), draft(plain, features, ids))


RULES = {
    "Qwen 3.5": ("gated", "head_norms", "one_plus", "rotated"),
    "DeepSeek": ("state_first",),
    "MiMo": ("state_first", "blank_first"),
}
"""What makes a form differ from the others, and must not be left out."""


@pytest.mark.parametrize(("kind", "rule"), [(kind, rule) for kind, rules in RULES.items() for rule in rules])
def test_a_layer_without_one_of_the_forms_rules_differs(ends, kind, rule):
    """The comparison with plain torch would see each of them."""
    from dataclasses import replace

    family, state = FAMILIES[kind], random_head(FAMILIES[kind])
    other = replace(family, **{rule: HEAD_SIZE if rule == "rotated" else not getattr(family, rule)})
    if rule == "gated":
        name = f"{family.inner}self_attn.q_proj.weight"
        state_without = state | {name: state[name].view(-1, 2, HEAD_SIZE, HIDDEN)[:, 0].reshape(-1, HIDDEN)}
    else:
        state_without = state
    one, another = PlainMtp(family, state, *ends), PlainMtp(other, state_without, *ends)
    difference = draft(one, *case())[0] - draft(another, *case())[0]
    assert np.abs(difference).max() > 1e-2


@every_kind
def test_rows_read_again_after_drafts_forget_them(graphs, target, tmp_path, kind):
    made = made_for(target, tmp_path, kind)
    features, ids = case(rows=10)
    one, other = Drafter(graphs, made), Drafter(graphs, made)
    draft(one, features[:PROMPT], ids[: PROMPT + DEPTHS])
    one.length = PROMPT
    other.read(ids[:PROMPT].tolist(), features[:PROMPT])
    again = [drafter.read(ids[PROMPT:10].tolist(), features[PROMPT:]) for drafter in (one, other)]
    for ours, theirs in zip(*again, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@every_kind
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_trimmed_head_says_the_same_bits(graphs, target, tmp_path, kind, precision):
    """Also after it was made whole again from the target's."""
    packed = target.clone()
    pack_model(packed, TABLE[precision])
    whole = made_for(packed, tmp_path, kind, precision)
    kept = np.sort(np.random.default_rng(3).permutation(VOCAB)[:64])
    told = draft(Drafter(graphs, whole), *case())
    trim_head(whole.step, IndexMap(target_ids=kept, target_vocab_size=VOCAB))
    for place, (ours, theirs) in enumerate(zip(draft(Drafter(graphs, whole), *case()), told, strict=True)):
        np.testing.assert_array_equal(ours, theirs if place % 2 else theirs[kept])
    put_whole_head(whole.step, packed, TABLE[precision])
    assert vocabulary_width(whole.step) == VOCAB
    np.testing.assert_array_equal(draft(Drafter(graphs, whole), *case())[0], told[0])


class InTransformers:
    """A head run by transformers' `MtpModel`, all rows at once; ``forms`` gives the family's names of its tensors."""

    def __init__(self, main, family: Family, state: dict[str, torch.Tensor]) -> None:
        from transformers.modeling_layers import MtpModel

        self.model = MtpModel(main, 1).float().eval()
        (layer,) = self.model.layers
        outer = {"enorm": family.token_norm, "hnorm": family.state_norm, "eh_proj": family.join}
        outer["post_norm"] = family.last_norm
        block = {f"mtp_block.{name}": state[f"{family.inner}{name}"] for name in layer.mtp_block.state_dict()}
        around = {f"{ours}.weight": state[f"{family.outer}{theirs}.weight"] for ours, theirs in outer.items()}
        layer.load_state_dict(block | around)
        self.ids, self.states = [], np.empty((0, HIDDEN), np.float32)

    def fuse(self, features: np.ndarray) -> np.ndarray:
        return features

    def read(self, ids: list[int], states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.ids, self.states = [*self.ids, *ids], np.concatenate([self.states, states])
        places = torch.arange(len(self.ids))[None] + 1  # those of the tokens, one more than those of the states
        after = self.model.forward_layer(
            0, torch.from_numpy(self.states)[None], places, None, input_ids=torch.tensor([self.ids])
        )[:, -len(ids) :]
        return self.model.shared_head(after)[0].numpy(), after[0].numpy()


def main_model(kind: str):
    """A random target of transformers whose last layer is of the head's kind."""
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen3_5ForCausalLM, Qwen3_5TextConfig

    torch.manual_seed(0)
    if kind == "DeepSeek":
        return LlamaForCausalLM(LlamaConfig(**SIZES, num_mtp_layers=1)).float().eval()
    rope = {**FAMILIES[kind].config["text_config"]["rope_parameters"], "mrope_section": [4, 2, 2]}
    kinds = {"layer_types": ["linear_attention", "full_attention"], "mtp_layer_types": ["full_attention"]}
    config = Qwen3_5TextConfig(**SIZES, **kinds, num_mtp_layers=1, rope_parameters=rope)
    return Qwen3_5ForCausalLM(config).float().eval()


@pytest.mark.parametrize("kind", ["Qwen 3.5", "DeepSeek"])
def test_logits_and_states_are_transformers_own(graphs, target, ends, tmp_path, kind):
    main = main_model(kind)
    assert main.config.rms_norm_eps == EPSILON
    with torch.no_grad():
        for parameter, array in zip((main.get_input_embeddings().weight, main.lm_head.weight), ends, strict=True):
            parameter.copy_(torch.from_numpy(array))
    theirs = InTransformers(main, FAMILIES[kind], random_head(FAMILIES[kind]))
    check(draft(Drafter(graphs, made_for(target, tmp_path, kind)), *case()), draft(theirs, *case()))


@pytest.mark.parametrize("family", ["Llama", "Qwen 2", "Gemma 2", "Phi 2", "Granite"])
def test_the_state_before_the_final_norm_is_tapped(graphs, tmp_path_factory, tmp_path, family):
    """The norm of it is the state that the head reads."""
    from transformers import AutoModelForCausalLM

    from edgedraft.runtime.onnx.signature import FEATURES
    from tests.exporter.families import checkpoint, feed

    root = tmp_path_factory.getbasetemp() / "borrowed"
    model = open_family(build(family, root))
    layout = read_mtp(save_head(tmp_path, FAMILIES["MiMo"]), "mimo").layout
    fed = feed(model, 9)
    tap_target(model, layout)
    tapped = graphs.session(model).run([FEATURES], fed)[0]
    source = AutoModelForCausalLM.from_pretrained(checkpoint(family, root)).eval()
    states = []
    norm = next(module for name, module in source.named_modules() if name in ("model.norm", "model.final_layernorm"))
    norm.register_forward_pre_hook(lambda _, inputs: states.append(inputs[0].detach().numpy()))
    with torch.no_grad():
        source(torch.from_numpy(fed["input_ids"]))
    np.testing.assert_allclose(tapped, states[0], atol=1e-4 * np.abs(states[0]).max())
