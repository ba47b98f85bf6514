"""What the calibration's tests share: scripted models, a codec without a tokenizer, chat templates, a job of chats."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from edgedraft.calibration.text.counting import Counting, CountingJob
from edgedraft.runtime.core.model import Pass
from edgedraft.runtime.text.codec import TextCodec

VOCAB = 16

Script = Callable[[tuple[int, ...]], np.ndarray]


class ScriptedModel:
    """A `LanguageModel`: the logits after a context are ``script(context)``, so every context can have its own."""

    def __init__(self, script: Script, context_length: int = 200) -> None:
        self._script = script
        self._memory: list[int] = []
        self.context_length = context_length
        self.tokens_read = 0

    @property
    def token_ids(self) -> list[int]:
        return self._memory

    @property
    def length(self) -> int:
        return len(self._memory)

    def read(self, token_ids: Sequence[int]) -> Pass:
        assert len(token_ids) > 0
        rows = []
        for token in token_ids:
            self._memory.append(int(token))
            rows.append(self._script(tuple(self._memory)))
        assert self.length <= self.context_length
        self.tokens_read += len(token_ids)
        return Pass(logits=np.stack(rows).astype(np.float32))

    def rewind(self, length: int) -> None:
        assert 0 <= length <= self.length
        del self._memory[length:]


class ScriptedBatch:
    """A `Batch` of scripted models, stepped one after the other."""

    def __init__(self, rows: Sequence[ScriptedModel]) -> None:
        self.rows = tuple(rows)

    def step(self, token_ids: Sequence[int]) -> np.ndarray:
        return np.concatenate([row.read([token]).logits for row, token in zip(self.rows, token_ids, strict=False)])

    def move(self, source: int, destination: int) -> None:
        self.rows[destination].rewind(0)
        self.rows[destination].read(self.rows[source].token_ids)
        self.rows[source].rewind(0)


class LetterCodec:
    """A codec whose tokens are letters: "a" is 0, "b" is 1, …"""

    fingerprint = "letters"

    def encode_chat(self, messages, tools=()) -> list[int]:
        return [ord(letter) - ord("a") for message in messages for letter in message["content"]]


def random_script(seed: int) -> Script:
    """Logits drawn anew for every context; small whole numbers, so that ties are common."""
    return lambda context: np.random.default_rng([seed, len(context), *context]).integers(0, 8, VOCAB)


@pytest.fixture(scope="session")
def vocab_size() -> int:
    return VOCAB


@pytest.fixture(scope="session")
def scripted():
    """``scripted(seed)`` is a new model; the same seed always says the same."""
    return lambda seed, **options: ScriptedModel(random_script(seed), **options)


@pytest.fixture(scope="session")
def scripted_batch():
    """``scripted_batch(seed, rows)`` is a batch of models that all follow the script of ``seed``."""
    return lambda seed, rows=3, **options: ScriptedBatch(
        [ScriptedModel(random_script(seed), **options) for _ in range(rows)]
    )


@pytest.fixture(scope="session")
def script():
    return random_script


@pytest.fixture
def codec() -> LetterCodec:
    return LetterCodec()


# --- real codecs for counting -----------------------------------------------------------------------------------------

MARKERS = (
    *("<|im_start|>", "<|im_end|>", "<s>", "</s>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    *("<start_of_turn>", "<end_of_turn>", "<tool_call>", "</tool_call>", "<think>", "</think>"),
)
QWEN_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _byte_level(words: str | None):
    """A byte-level BPE tokenizer that splits text by ``words``, as GPT-2 does where that is None."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    if words is None:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        split = pre_tokenizers.Split(Regex(words), "isolated")
        bytes_alone = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, bytes_alone])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(["def value(list): return index + 1\n\n    for it's 中文 dict's é\n"] * 4, trainer)
    return tokenizer


def _spaced():
    """A tokenizer that puts a space before every text, as SentencePiece does."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = "▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789<>|/_\n.,:'\"{}"
    vocab = {"<unk>": 0} | {letter: place for place, letter in enumerate(letters, start=1)}
    vocab |= {"▁a": len(vocab), "▁b": len(vocab) + 1, "ab": len(vocab) + 2}
    tokenizer = Tokenizer(models.BPE(vocab, [("▁", "a"), ("▁", "b"), ("a", "b")], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


@pytest.fixture(scope="session")
def chat_codec(tmp_path_factory):
    """``chat_codec(template, kind)`` is a codec with that template of chat_templates/ and `MARKERS`."""
    kinds = {"qwen": lambda: _byte_level(QWEN_WORDS), "gpt2": lambda: _byte_level(None), "spaced": _spaced}
    made = {}

    def make(template="chatml", kind="qwen"):
        if kind not in made:
            made[kind] = kinds[kind]()
            made[kind].add_special_tokens(list(MARKERS))
        folder = tmp_path_factory.mktemp("codec")
        made[kind].save(str(folder / "tokenizer.json"))
        if template is not None:
            text = (Path(__file__).parent / "text" / "chat_templates" / f"{template}.jinja").read_text(encoding="utf-8")
            (folder / "chat_template.jinja").write_text(text, encoding="utf-8")
        return TextCodec(folder)

    return make


@pytest.fixture(scope="session")
def counting_of():
    """How to count with a codec whose answers end with ``ends``."""

    def make(codec, ends=("<|im_end|>",), **changes):

        ids = tuple(codec.tokenizer.token_to_id(end) for end in ends)
        told = {"codec": codec, "end_token_ids": ids, "vocab_size": codec.tokenizer.get_vocab_size()}
        return Counting(**told | changes)

    return make


@pytest.fixture(scope="session")
def conversation():
    """``conversation("ask", "answer", …)``: a sample whose user and assistant take turns."""

    def make(*contents, system=None, **changes):
        from edgedraft.calibration.data.samples import Sample

        turns = [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(contents)]
        first = [] if system is None else [{"role": "system", "content": system}]
        return Sample(**{"id": "one", "messages": (*first, *turns)} | changes)

    return make


@pytest.fixture
def job(tmp_path, chat_codec, counting_of) -> CountingJob:
    """Fifty chats and a broken line, to be counted."""
    path = tmp_path / "data.jsonl"
    turns = [[{"role": "user", "content": "ask"}, {"role": "assistant", "content": f"it's {n}\n"}] for n in range(50)]
    lines = [json.dumps({"messages": messages}) for messages in turns]
    path.write_text("\n".join([*lines, "{broken", ""]), encoding="utf-8")
    return CountingJob(counting=counting_of(chat_codec()), reference=path)


@pytest.fixture(scope="session")
def facts():
    """All that a result says of what was counted, to be compared."""

    def of(result):
        counts = result.counts
        return counts.by_group.tobytes(), counts.prompts_by_group.tobytes(), counts.provenance, result.report

    return of
