"""EAGLE-3 layers to measure with: random ones of any width, and a source whose drafts are right by the dice."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from edgedraft.exporter.models.sources import HUGGING_FACE, ModelSource
from edgedraft.runtime.base.arrays import Logits
from edgedraft.runtime.base.files import write_json
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.model import Pass, PromptPasses
from edgedraft.runtime.core.rounds import Round
from edgedraft.runtime.core.token_drafter import ModelStep, TokenOffer, TokenSource


def random_layer(folder: Path, sizes: Mapping[str, int]) -> ModelSource:
    """Write a checkpoint with random weights that borrows table and head; ``sizes`` are keys of its config.json."""
    rng = np.random.default_rng(0)
    hidden, inter = sizes["hidden_size"], sizes["intermediate_size"]
    queries, keys = (sizes[name] * sizes["head_dim"] for name in ("num_attention_heads", "num_key_value_heads"))
    shapes = {
        "self_attn.q_proj": (queries, 2 * hidden),
        "self_attn.k_proj": (keys, 2 * hidden),
        "self_attn.v_proj": (keys, 2 * hidden),
        "self_attn.o_proj": (hidden, queries),
        "mlp.gate_proj": (inter, hidden),
        "mlp.up_proj": (inter, hidden),
        "mlp.down_proj": (hidden, inter),
    }
    weights = {f"midlayer.{name}.weight": rng.normal(0, 0.02, shape) for name, shape in shapes.items()}
    weights |= {"fc.weight": rng.normal(0, 0.02, (hidden, 3 * hidden)), "norm.weight": np.ones(hidden)}
    norms = ("input_layernorm", "hidden_norm", "post_attention_layernorm")
    weights |= {f"midlayer.{name}.weight": np.ones(hidden) for name in norms}
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: weight.astype(np.float16) for name, weight in weights.items()}, folder / "model.safetensors")
    config = {"architectures": ["LlamaForCausalLMEagle3"], "model_type": "llama", "num_hidden_layers": 1, **sizes}
    write_json(folder / "config.json", {**config, "draft_vocab_size": None})
    return layer_source(folder)


def layer_source(folder: Path) -> ModelSource:
    """Return the checkpoint in ``folder`` as a source of models; its identity follows from its size and time."""
    facts = (folder / "model.safetensors").stat()
    identity = f"{folder.resolve()}-{facts.st_size}-{facts.st_mtime_ns}"
    name = folder.resolve().name
    return ModelSource(kind=HUGGING_FACE, path=folder, name=name, base_model="", license="", identity=identity)


def draft_vocabulary(texts: Sequence[Sequence[int]], size: int, vocab_size: int) -> IndexMap:
    """Return a map of ``size`` tokens: those of the texts, filled up with the smallest other ids."""
    if size == vocab_size:
        return IndexMap.identity(vocab_size)
    used = np.unique(np.concatenate([np.asarray(text, dtype=np.int64) for text in texts]))
    others = np.setdiff1d(np.arange(vocab_size), used, assume_unique=True)
    ids = np.sort(np.concatenate([used, others[: size - len(used)]]))
    return IndexMap(target_ids=ids, target_vocab_size=vocab_size)


class Scripted(TokenSource):
    """Runs a layer's passes, and drafts the text's own next token with probability ``acceptance``, else another.

    ``texts`` holds, by prompt, the prompt and what the target says to it; the target must say it again. Draws depend on
    the place in the text and the depth of the draft alone.
    """

    def __init__(
        self, source: TokenSource, index_map: IndexMap, texts: Mapping[tuple[int, ...], Sequence[int]]
    ) -> None:
        self._source, self._texts = source, texts
        self._rows = np.full(index_map.target_vocab_size, -1)
        self._rows[index_map.target_ids] = np.arange(index_map.draft_vocab_size)
        self._logits: Logits = np.zeros(index_map.draft_vocab_size, dtype=np.float32)
        self._text: Sequence[int] = ()
        self._start = 0
        self.acceptance = 0.0

    def begin(self, prompt_ids: Sequence[int], passes: PromptPasses) -> None:
        """Start the answer to a known prompt."""
        self._text = self._texts[tuple(prompt_ids)]
        self._source.begin(prompt_ids, passes)

    def start(self, committed: Sequence[int]) -> None:
        """Start a draft; the text so far must be the known one."""
        self._start = len(committed)
        assert list(committed[-8:]) == list(self._text[: len(committed)][-8:]), "the target said something else"
        self._source.start(committed)

    def offers(self, context_ids: Sequence[int]) -> Sequence[TokenOffer]:
        """Return the layer's pass with other logits."""
        return [self._scripted(offer, context_ids) for offer in self._source.offers(context_ids)]

    def rewind(self, length: int) -> None:
        """See `TokenSource.rewind`."""
        self._source.rewind(length)

    def observe(self, outcome: Round, target_pass: Pass) -> None:
        """See `TokenSource.observe`."""
        self._source.observe(outcome, target_pass)

    def _scripted(self, offer: TokenOffer, context_ids: Sequence[int]) -> TokenOffer:
        assert isinstance(offer, ModelStep)
        place = len(context_ids)
        right = np.random.default_rng([place, place - self._start]).random() < self.acceptance
        known = self._rows[self._text[place]] if place < len(self._text) else 0
        row = known if right else (known + 1) % len(self._logits)

        def ask() -> Logits:
            offer.ask()
            self._logits[:] = 0.0
            self._logits[row] = 1.0
            return self._logits

        return replace(offer, ask=ask)
