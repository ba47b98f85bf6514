"""Lines and chunks: nothing is lost or doubled, chunks stay small, characters stay whole."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedraft.calibration.data import lines as module
from edgedraft.calibration.data.lines import CHUNK_BYTES, Beginning, chunks, lines
from edgedraft.runtime.base.errors import EdgedraftError

# Small enough that drawn texts cross its edges.
SMALL = 8


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(module, "CHUNK_BYTES", SMALL)


def small_chunks(raw: bytes) -> list[tuple[int, bytes]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK_BYTES", SMALL)
        return list(chunks(Beginning(io.BytesIO(raw), "here")))


def numbered(raw: bytes) -> list[tuple[int, bytes]]:
    return list(lines(Beginning(io.BytesIO(raw), "here")))


pieces_of_text = st.lists(
    st.sampled_from(["a", " ", "\n", "\r\n", "ä", "€", "\N{GRINNING FACE}", "word "]), max_size=60
)


@given(pieces_of_text)
def test_chunks_joined_are_the_text_but_for_blank_chunks(drawn):
    raw = "".join(drawn).encode()
    found = small_chunks(raw)
    assert b"".join(b"".join(chunk for _, chunk in found).split()) == b"".join(raw.split())
    for _, chunk in found:
        assert 0 < len(chunk) <= SMALL
        assert chunk.decode().strip()


@given(pieces_of_text)
def test_the_number_of_a_chunk_is_the_line_it_begins_in(drawn):
    raw = "".join(drawn).encode()
    place = 0
    for number, chunk in small_chunks(raw):
        place = raw.index(chunk, place)
        assert raw[:place].count(b"\n") + 1 <= number <= raw[: place + len(chunk)].count(b"\n") + 1
        place += len(chunk)


@given(st.binary(max_size=60))
def test_whatever_the_bytes_nothing_but_white_space_is_lost(raw):
    raw = b"x" + raw
    assert b"".join(b"".join(chunk for _, chunk in small_chunks(raw)).split()) == b"".join(raw.split())
    assert b"".join(b"".join(line for _, line in numbered(raw)).split()) == b"".join(raw.split())


def test_whole_lines_are_kept_together(small):
    found = list(chunks(Beginning(io.BytesIO(b"ab\ncd\nef\ngh\nijk"), "here")))
    assert found == [(1, b"ab\ncd\n"), (3, b"ef\ngh\n"), (5, b"ijk")]


def test_a_long_line_is_cut_before_a_space_or_between_characters(small):
    found = list(chunks(Beginning(io.BytesIO(b"one two three\n" + "€€€€".encode()), "here")))
    assert [chunk.decode() for _, chunk in found] == ["one two", " three\n", "€€", "€€"]
    assert [number for number, _ in found] == [1, 1, 2, 2]


def test_a_line_that_is_no_text_is_alone(small):
    found = list(chunks(Beginning(io.BytesIO(b"a\nb\n\xff\nc\nd\n\0\n"), "here")))
    assert found == [(1, b"a\nb\n"), (3, b"\xff\n"), (4, b"c\nd\n"), (6, b"\0\n")]


def test_chunks_are_large_by_default():
    found = list(chunks(Beginning(io.BytesIO(b"a line\n" * 50_000), "here")))
    assert all(0.99 * CHUNK_BYTES < len(chunk) <= CHUNK_BYTES for _, chunk in found[:-1])


def test_lines_have_their_numbers_and_blank_ones_are_left_out():
    assert numbered(b"\n a\r\n\n\t\nb\rc\nd") == [(2, b" a\r\n"), (5, b"b\rc\n"), (6, b"d")]


def test_of_an_endless_line_the_limit_and_one_byte_are_kept(monkeypatch):
    monkeypatch.setattr(module, "LARGEST_ENTRY_BYTES", 4)
    assert numbered(b"1234\n12345\n123456\n" + b"x" * 99 + b"\nend") == [
        (1, b"1234\n"),
        (2, b"12345"),
        (3, b"12345"),
        (4, b"xxxxx"),
        (5, b"end"),
    ]


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 10_000])
def test_looking_at_the_beginning_takes_nothing_away(size):
    raw = (b"0123456\n" * 2000)[:size]
    assert Beginning(io.BytesIO(raw), "here").read(20_000) == raw
    beginning = Beginning(io.BytesIO(b"\xef\xbb\xbf" + raw), "here")
    assert b"".join(iter(lambda: beginning.readline(5), b"")) == raw


def test_the_first_character_that_shows_is_known():
    firsts = [Beginning(io.BytesIO(raw), "here").first for raw in (b"", b" \n", b"\xef\xbb\xbf\r\n {", b"text")]
    assert firsts == [b"", b"", b"{", b"t"]


@pytest.mark.parametrize("mark", [b"\xff\xfe", b"\xfe\xff"])
def test_the_mark_of_utf_16_is_refused(mark):
    with pytest.raises(EdgedraftError, match=r"^here: expected UTF-8, got UTF-16 - save it as UTF-8$"):
        Beginning(io.BytesIO(mark + b"x"), "here")
