"""Fakes that several tests share. They come as fixtures because pytest imports tests without a package path."""

import contextlib
import json
import os
import shutil
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.files import sha256
from edgedraft.runtime.base.records import to_plain
from edgedraft.runtime.base.tokenizer_files import tokenizer_fingerprint
from edgedraft.runtime.bundle.index_map_file import write_index_map
from edgedraft.runtime.bundle.manifest import MANIFEST_NAME, SCHEMA_VERSION, BundleManifest, FileEntry, ModelEntry
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.model import Pass

Choose = Callable[[tuple[int, ...]], int]


@pytest.fixture
def in_child():
    """Run ``work`` in a forked child, wait, and return whether it said True. Skips where there is no fork."""
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")

    def run(work: Callable[[], bool]) -> bool:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # other tests have left threads; this child uses none
            child = os.fork()
        if child == 0:
            code = 1
            try:
                code = 0 if work() else 1
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    return run


class ScriptedModel:
    """A `LanguageModel` whose next token is ``choose(everything read)``; its logit is the number of tokens read.

    Like a session, it overwrites the logits it returned before: here with NaN.
    """

    def __init__(
        self, choose: Choose, vocab_size: int, context_length: int = 64, on_read: Callable[[], object] = lambda: None
    ) -> None:
        self.choose, self.vocab_size, self.context_length, self.on_read = choose, vocab_size, context_length, on_read
        self.tokens: list[int] = []
        self.contexts: list[tuple[int, ...]] = []  # everything in memory after each read
        self._logits = np.zeros((0, vocab_size), dtype=np.float32)

    @property
    def token_ids(self) -> list[int]:
        return self.tokens

    @property
    def length(self) -> int:
        return len(self.tokens)

    def read(self, token_ids: Sequence[int]) -> Pass:
        if len(token_ids) == 0 or self.length + len(token_ids) > self.context_length:
            raise EdgedraftError(f"the context holds {self.context_length} tokens", got=self.length + len(token_ids))
        self.on_read()
        self._logits.fill(np.nan)
        self._logits = np.zeros((len(token_ids), self.vocab_size), dtype=np.float32)
        for row, token_id in zip(self._logits, token_ids, strict=True):
            self.tokens.append(token_id)
            row[self.choose(tuple(self.tokens))] = self.length
        self.contexts.append(tuple(self.tokens))
        return Pass(logits=self._logits)

    def rewind(self, length: int) -> None:
        if not 0 <= length <= self.length:
            raise EdgedraftError(f"cannot rewind to {length}: only {self.length} tokens were read")
        del self.tokens[length:]


@pytest.fixture(scope="session")
def scripted() -> type[ScriptedModel]:
    return ScriptedModel


class TableModel:
    """A `LanguageModel` whose logits are a row of a table, picked by the last token."""

    def __init__(
        self, table: np.ndarray, context_length: int = 64, on_read: Callable[[], object] = lambda: None
    ) -> None:
        self.table, self.context_length, self.on_read = table.astype(np.float32), context_length, on_read
        self.tokens: list[int] = []

    @property
    def token_ids(self) -> list[int]:
        return self.tokens

    @property
    def length(self) -> int:
        return len(self.tokens)

    def read(self, token_ids: Sequence[int]) -> Pass:
        self.on_read()
        self.tokens += token_ids
        return Pass(logits=self.table[list(token_ids)])

    def rewind(self, length: int) -> None:
        del self.tokens[length:]


@pytest.fixture(scope="session")
def tabled() -> type[TableModel]:
    return TableModel


@pytest.fixture(scope="session")
def by_table() -> Callable[[Sequence[int]], Choose]:
    """Next token = table[last token]."""
    return lambda table: lambda context: table[context[-1] % len(table)]


@pytest.fixture(scope="session")
def by_hash() -> Callable[[int, int], Choose]:
    """Next token = a hash of everything read, below ``size``; ``salt`` tells models apart."""
    return lambda salt, size: lambda context: zlib.crc32(bytes([salt, *context])) % size


def build_tokenizer(merges: Iterable[str] = (), special: Sequence[str] = ("<|end|>",)) -> Tokenizer:
    """A real byte-level BPE tokenizer: one token per byte, one per text in ``merges``, then the special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {character: number for number, character in enumerate(alphabet)}
    pairs = []
    for text in merges:
        for size in range(1, len(text)):
            if text[: size + 1] not in vocab:
                vocab[text[: size + 1]] = len(vocab)
                pairs.append((text[:size], text[size]))
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in special])
    return tokenizer


@pytest.fixture(scope="session")
def byte_tokenizer() -> Callable[..., Tokenizer]:
    return build_tokenizer


@pytest.fixture
def tokenizer_folder(tmp_path: Path) -> Callable[..., Path]:
    """Write a tokenizer.json (and more files) into a new folder and return the folder."""

    def write(name: str = "model", files: dict[str, str] | None = None, **options: Sequence[str]) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        build_tokenizer(**options).save(str(folder / "tokenizer.json"))
        for file, text in (files or {}).items():
            (folder / file).write_text(text, encoding="utf-8")
        return folder

    return write


LEDGER_STEPS = (
    ("Shape", ["attention_mask"], "mask_shape", {}),
    ("Gather", ["mask_shape", "one_"], "total", {}),
    ("Size", ["input_ids"], "fresh", {}),
    ("Sub", ["total", "fresh"], "start", {}),
    ("Range", ["start", "total", "one_"], "places", {}),
    ("Reshape", ["places", "slots"], "indices", {}),
    ("Add", ["input_ids", "one"], "marks", {}),
    ("Reshape", ["marks", "slots"], "marks_4d", {}),
    ("Cast", ["marks_4d"], "updates", {"to": 1}),
    ("ScatterElements", ["past_key_values.0.key", "indices", "updates"], "present.0.key", {"axis": 2}),
    ("Reshape", ["present.0.key", "flat"], "ledger", {}),
    ("Cast", ["ledger"], "tokens", {"to": 7}),
    ("Size", ["tokens"], "room", {}),
    ("Range", ["zero_", "room", "one_"], "all_places", {}),
    ("Mod", ["all_places", "seven"], "by_place", {}),
    ("Add", ["by_place", "one"], "weights", {}),
    ("Mul", ["tokens", "weights"], "weighted", {}),
    ("CumSum", ["weighted", "zero_"], "sums", {}),
    ("Gather", ["sums", "places"], "own_sums", {}),
    ("Mod", ["own_sums", "rows"], "own_rows", {}),
    ("Gather", ["table", "own_rows"], "scores", {}),
    ("Unsqueeze", ["scores", "zero"], "logits", {}),
)


def ledger_rows(token_ids: Sequence[int], rows: int) -> list[int]:
    """Which row of its table a ledger scores with after each token: a sum over everything in memory, by place."""
    weights = [(place % 7) + 1 for place in range(len(token_ids))]
    sums = np.cumsum([(token + 1) * weight for token, weight in zip(token_ids, weights, strict=True)])
    return [int(total) % rows for total in sums]


def save_ledger(path: Path, table: np.ndarray) -> None:
    """A graph with the inputs and outputs of a decoder; its cache is the list of tokens read, written in place."""
    import onnx
    from onnx import TensorProto, helper

    int64 = {"one": [1], "zero": [0], "flat": [-1], "slots": [1, 1, -1, 1], "seven": [7], "rows": [len(table)]}
    constants = [helper.make_tensor(name, TensorProto.INT64, [len(value)], value) for name, value in int64.items()]
    constants += [
        helper.make_tensor(f"{name}_", TensorProto.INT64, [], value) for name, value in list(int64.items())[:2]
    ]
    constants.append(helper.make_tensor("table", TensorProto.FLOAT, table.shape, table.astype(np.float32).ravel()))
    value = helper.make_tensor_value_info
    cache = [1, 1, "context", 1]
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, [output], **attributes) for kind, inputs, output, attributes in LEDGER_STEPS],
        "ledger",
        [
            value("input_ids", TensorProto.INT64, [1, "sequence"]),
            value("attention_mask", TensorProto.INT64, [1, "total"]),
            value("past_key_values.0.key", TensorProto.FLOAT, cache),
        ],
        [
            value("logits", TensorProto.FLOAT, [1, "sequence", table.shape[1]]),
            value("present.0.key", TensorProto.FLOAT, cache),
        ],
        constants,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.fixture(scope="session")
def ledger() -> tuple[Callable[[Path, np.ndarray], None], Callable[[Sequence[int], int], list[int]]]:
    """Writes a small graph that depends on every token it read, and says what it must answer."""
    return save_ledger, ledger_rows


TEMPLATE = "{% for m in messages %}{{ m['role'][0] }}:{{ m['content'] }}\n{% endfor %}a:"
LEDGER_VOCAB, LEDGER_KEPT, LEDGER_END = 257, np.array([*range(32, 128), 256]), 256


@pytest.fixture(scope="session")
def ledger_bundle(tmp_path_factory, make_plan, make_calibration) -> Path:
    """A whole bundle of two ledgers that often agree, over bytes; no exporter needed."""
    path = tmp_path_factory.mktemp("ledgers") / "bundle"
    rng = np.random.default_rng(8)
    table = rng.normal(0, 2, (23, LEDGER_VOCAB))
    table[:, LEDGER_END] -= 3
    noisy = table + rng.normal(0, 0.4, table.shape)
    save_ledger(path / "target" / "model.onnx", table)
    save_ledger(path / "drafter" / "model.onnx", noisy[:, LEDGER_KEPT])
    build_tokenizer().save(str(path / "tokenizer.json"))
    (path / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    write_index_map(path / "map.safetensors", IndexMap(target_ids=LEDGER_KEPT, target_vocab_size=LEDGER_VOCAB))
    names = sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file())
    model = {"base_model": "maker/ledger", "license": "apache-2.0", "precision": "fp32", "conversion": "0" * 64}
    sizes = {"parameters": 10, "weight_bytes": 40, "data": (), "largest_tensor_bytes": 40, "half": False}
    manifest = BundleManifest(
        schema_version=SCHEMA_VERSION,
        target=ModelEntry(name="target", graph="target/model.onnx", **model, **sizes),
        drafter=ModelEntry(name="drafter", graph="drafter/model.onnx", **model, **sizes),
        index_map="map.safetensors",
        target_vocab_size=LEDGER_VOCAB,
        context_length=4096,
        end_token_ids=(LEDGER_END,),
        tokenizer_fingerprint=tokenizer_fingerprint(path / "tokenizer.json"),
        calibration=make_calibration(),
        plan=make_plan(draft_vocab_size=len(LEDGER_KEPT)),
        files={name: FileEntry(bytes=(path / name).stat().st_size, sha256=sha256(path / name)) for name in names},
    )
    (path / MANIFEST_NAME).write_text(json.dumps(to_plain(manifest)), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def templated(tmp_path_factory) -> Callable[[Path, str], Path]:
    """Copies a bundle, gives it another chat template, and lists that in its manifest."""

    def copy(bundle: Path, template: str) -> Path:
        path = shutil.copytree(bundle, tmp_path_factory.mktemp("templated") / "bundle")
        file, manifest = path / "chat_template.jinja", path / MANIFEST_NAME
        file.write_text(template, encoding="utf-8")
        data = json.loads(manifest.read_text(encoding="utf-8"))
        data["files"][file.name] = {"bytes": file.stat().st_size, "sha256": sha256(file)}
        manifest.write_text(json.dumps(data), encoding="utf-8")
        return path

    return copy


@pytest.fixture(scope="session")
def raises_exactly() -> Callable[[str], contextlib.AbstractContextManager[None]]:
    """Expect an `EdgedraftError` whose whole text is the one given."""

    @contextlib.contextmanager
    def expect(message: str) -> Iterator[None]:
        with pytest.raises(EdgedraftError) as caught:
            yield
        assert str(caught.value) == message

    return expect
