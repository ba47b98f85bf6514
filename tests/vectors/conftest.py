"""Read the vectors: a test marked ``section("rows")`` runs once for each item of that section of its file.

``test_padding.py`` reads ``padding.json``, from the folder that EDGEDRAFT_VECTORS names or from this one. The texts
"inf", "-inf" and "nan", which JSON has no numbers for, arrive as numbers.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.text.codec import TextCodec

SPECIAL, MERGED = "<|end|>", "END"


def read_vectors(family: str) -> dict:
    """Return the file of one family."""
    folder = Path(os.environ.get("EDGEDRAFT_VECTORS") or Path(__file__).parent)
    return numbers(json.loads((folder / f"{family}.json").read_text(encoding="utf-8")))


def numbers(value):
    """Return ``value`` with the numbers that JSON cannot hold."""
    if isinstance(value, dict):
        return {key: numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [numbers(item) for item in value]
    return float(value) if value in ("inf", "-inf", "nan") else value


def family_of(path: Path) -> str:
    return path.stem.removeprefix("test_")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "section(name): run once for each item of this section of the vector file")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marker = metafunc.definition.get_closest_marker("section")
    if marker is not None:
        cases = read_vectors(family_of(metafunc.definition.path))[marker.args[0]]
        assert cases, "a section without items tests nothing"
        metafunc.parametrize("case", cases, ids=[str(case.get("name", place)) for place, case in enumerate(cases)])


@pytest.fixture
def vectors(request: pytest.FixtureRequest) -> dict:
    """The whole file of the test module's family."""
    return read_vectors(family_of(request.path))


@pytest.fixture
def refused() -> Callable[[str], contextlib.AbstractContextManager[None]]:
    """Expect an `EdgedraftError` whose whole text is the one given."""

    @contextlib.contextmanager
    def expect(message: str) -> Iterator[None]:
        with pytest.raises(EdgedraftError) as caught:
            yield
        assert str(caught.value) == message

    return expect


@pytest.fixture(scope="session")
def byte_codec(tmp_path_factory: pytest.TempPathFactory) -> TextCodec:
    """A real codec: a byte is the token of its own number, then come E+N, EN+D and a special token."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in visible]
    letters = {byte: chr(byte) for byte in visible} | {byte: chr(256 + place) for place, byte in enumerate(hidden)}
    vocab = {letters[byte]: byte for byte in range(256)} | {"EN": 256, MERGED: 257}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[("E", "N"), ("EN", "D")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(SPECIAL, special=True)])
    folder = tmp_path_factory.mktemp("bytes")
    tokenizer.save(str(folder / "tokenizer.json"))
    return TextCodec(folder)


@pytest.fixture
def token_ids(byte_codec: TextCodec) -> Callable[[list], list[int]]:
    """Token ids of a list of bytes, as numbers or as 0x.., and of tokens by their text."""

    def id_of(token: int | str) -> int:
        if isinstance(token, int):
            return token
        return int(token, 16) if token.startswith("0x") else byte_codec.tokenizer.token_to_id(token)

    return lambda tokens: [id_of(token) for token in tokens]


FALLBACK = ("<s>", "</s>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a", "b")


@pytest.fixture(scope="session")
def fallback_codec(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., TextCodec]:
    """Make a real codec with a token for every byte: bytes of what is no token of its own become such tokens."""

    def make(adds: str | None = None, settings: dict | None = None) -> TextCodec:
        vocab = {token: place for place, token in enumerate(FALLBACK)}
        model = models.BPE(vocab=vocab, merges=[], unk_token="<unk>", byte_fallback=True, fuse_unk=True)
        tokenizer = Tokenizer(model)
        tokenizer.normalizer = normalizers.Replace(" ", "▁")
        tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
        tokenizer.add_special_tokens([AddedToken(each, special=True, normalized=False) for each in FALLBACK[:2]])
        if adds is not None:
            special = [(token, vocab[token]) for token in FALLBACK[:2]]
            tokenizer.post_processor = processors.TemplateProcessing(single=adds, pair="$A $B", special_tokens=special)
        folder = tmp_path_factory.mktemp("fallback")
        tokenizer.save(str(folder / "tokenizer.json"))
        (folder / "tokenizer_config.json").write_text(json.dumps(settings or {}))
        return TextCodec(folder)

    return make


@pytest.fixture
def fallback_ids() -> Callable[[list], list[int]]:
    """Return token ids of a list of tokens of `fallback_codec` by their text; numbers and 0x.. are bytes."""
    names = {token.replace("▁", " "): place for place, token in enumerate(FALLBACK)}
    return lambda tokens: [names[each] if each in names else 3 + int(str(each), 0) for each in tokens]
