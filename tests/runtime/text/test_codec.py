"""Text in and out: fingerprints follow what decides the ids, templates are sandboxed, streams give whole characters."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.tokenizer_files import (
    encoding_fingerprint,
    has_fingerprint,
    read_vocabulary,
    tokenizer_fingerprint,
)
from edgedraft.runtime.text.codec import TextCodec, matching_parts
from edgedraft.runtime.text.streaming import TextStream

LAWS = settings(max_examples=150, deadline=None, derandomize=True, database=None)
TEXTS = st.text(alphabet="abEND \né中😀👍🏽", max_size=12)
HELLO = [{"role": "user", "content": "héllo"}]


@pytest.fixture
def codec_of(tokenizer_folder):
    """A codec over bytes with this chat template and tokenizer_config.json."""

    def open_codec(template=None, config=None):
        files = {} if template is None else {"chat_template.jinja": template}
        if config is not None:
            files["tokenizer_config.json"] = json.dumps(config)
        return TextCodec(tokenizer_folder(files=files))

    return open_codec


@pytest.fixture(scope="module")
def merged(byte_tokenizer, tmp_path_factory):
    """A codec whose longer tokens hold several characters, as a real vocabulary's do."""
    folder = tmp_path_factory.mktemp("merged")
    byte_tokenizer(merges=["END", "ab", "aba"]).save(str(folder / "tokenizer.json"))
    return TextCodec(folder)


@pytest.fixture
def edited(tokenizer_folder):
    """A tokenizer.json like the plain one, changed by ``edit``."""

    def write(name, edit):
        path = tokenizer_folder(name, merges=["ab", "cd"]) / "tokenizer.json"
        data = json.loads(path.read_text(encoding="utf-8"))
        edit(data)
        path.write_text(json.dumps(data), encoding="utf-8")
        return path

    return write


def change_nothing(data):
    pass


def add_post_processor(data):
    data["post_processor"] = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}


def drop_decoder(data):
    data["decoder"] = None


def reorder_vocab(data):
    data["model"]["vocab"] = dict(reversed(data["model"]["vocab"].items()))


def swap_merges(data):
    data["model"]["merges"].reverse()


def drop_merge(data):
    data["model"]["merges"].pop()


def swap_ids(data):
    vocab = data["model"]["vocab"]
    vocab["a"], vocab["b"] = vocab["b"], vocab["a"]


def add_token(data):
    data["added_tokens"].append(data["added_tokens"][0] | {"id": 999, "content": "<|more|>"})


def rename_added_token(data):
    data["added_tokens"][0]["content"] = "<|stop|>"


def normalize(data):
    data["normalizer"] = {"type": "NFC"}


def prefix_space(data):
    data["pre_tokenizer"]["add_prefix_space"] = True


def merges_as_texts(data):
    data["model"]["merges"] = [" ".join(pair) for pair in data["model"]["merges"]]


def pad(data):
    data["model"]["vocab"]["[PAD999]"] = 999


def added_token_inside(data):
    token = data["added_tokens"][0]
    data["model"]["vocab"][token["content"]] = token["id"]


def mark_special(data):
    data["added_tokens"][0]["special"] = not data["added_tokens"][0]["special"]


SAME_ENCODING = [change_nothing, add_post_processor, drop_decoder, reorder_vocab]
OTHER_IDS = [swap_merges, drop_merge, swap_ids, add_token, rename_added_token]
OTHER_SPELLING = [merges_as_texts, pad, added_token_inside, mark_special, normalize, prefix_space]


@pytest.mark.parametrize("edit", SAME_ENCODING)
def test_what_does_not_decide_the_ids_leaves_the_fingerprints(edited, edit):
    one, other = edited("one", change_nothing), edited("other", edit)
    assert tokenizer_fingerprint(one) == tokenizer_fingerprint(other)
    assert encoding_fingerprint(one) == encoding_fingerprint(other)


@pytest.mark.parametrize("edit", OTHER_IDS)
def test_what_the_ids_mean_changes_the_fingerprints(edited, edit):
    one, other = edited("one", change_nothing), edited("other", edit)
    assert tokenizer_fingerprint(one) != tokenizer_fingerprint(other)
    assert encoding_fingerprint(one) != encoding_fingerprint(other)
    assert not has_fingerprint(other, tokenizer_fingerprint(one))


@pytest.mark.parametrize("edit", OTHER_SPELLING)
def test_how_the_same_meaning_is_spelled_changes_the_encodings_alone(edited, edit):
    one, other = edited("one", change_nothing), edited("other", edit)
    assert tokenizer_fingerprint(one) == tokenizer_fingerprint(other)
    assert encoding_fingerprint(one) != encoding_fingerprint(other)
    assert has_fingerprint(other, encoding_fingerprint(other))  # as earlier versions wrote it


def test_padding_is_told_by_its_own_number(edited):
    def token_like_padding(data):
        data["model"]["vocab"]["[PAD7]"] = 999

    pieces = read_vocabulary(edited("one", token_like_padding)).pieces
    assert pieces[999] == "[PAD7]"


def test_codecs_of_one_fingerprint_give_the_same_ids_and_no_others(edited):
    def truncate(data):
        data["truncation"] = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}

    one, other = (TextCodec(edited(name, edit).parent) for name, edit in [("a", change_nothing), ("b", truncate)])
    same_ids = one.encode("a longer text") == other.encode("a longer text")
    assert (one.fingerprint == other.fingerprint) is same_ids


def test_a_rewritten_tokenizer_has_a_new_fingerprint(edited):
    path = edited("one", change_nothing)
    before = tokenizer_fingerprint(path)
    path.write_text(edited("other", swap_ids).read_text(encoding="utf-8"), encoding="utf-8")
    assert tokenizer_fingerprint(path) != before


def test_a_broken_tokenizer_file_is_named(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(EdgedraftError, match=r"tokenizer\.json: not valid JSON, got "):
        tokenizer_fingerprint(tmp_path / "tokenizer.json")


def test_a_folder_without_a_tokenizer_is_refused(tmp_path, raises_exactly):
    with raises_exactly(f"{tmp_path}/tokenizer.json: no such file - the folder must hold the model's tokenizer"):
        TextCodec(tmp_path)


def test_the_codec_carries_its_files_fingerprint(tokenizer_folder):
    folder = tokenizer_folder()
    assert TextCodec(folder).fingerprint == tokenizer_fingerprint(folder / "tokenizer.json")


@LAWS
@given(text=TEXTS)
def test_decoding_undoes_encoding(merged, text):
    assert merged.decode(merged.encode(text)) == text


def test_special_tokens_written_in_the_text_count_as_such(codec_of):
    codec = codec_of()
    end = codec.tokenizer.token_to_id("<|end|>")
    assert codec.encode("a<|end|>") == [*codec.encode("a"), end]
    assert codec.decode([*codec.encode("a"), end]) == "a"


def test_a_template_sees_messages_the_generation_prompt_and_special_tokens(codec_of):
    template = (
        "{{ bos_token }}{% for message in messages %}<{{ message.role }}>{{ message['content'] }}{{ eos_token }}"
        "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    codec = codec_of(template, {"bos_token": "<s>", "eos_token": {"content": "</s>"}, "pad_token": None})
    assert codec.render_chat(HELLO) == "<s><user>héllo</s><assistant>"
    assert codec.encode_chat(HELLO) == codec.encode("<s><user>héllo</s><assistant>")


@pytest.mark.parametrize(
    ("kept", "rendered"),
    [
        ("{{ messages[0].content }}!", "héllo!"),
        ([{"name": "tools", "template": "no"}, {"name": "default", "template": "yes"}], "yes"),
        ([{"name": "tools", "template": "no"}], "héllo"),
    ],
)
def test_a_template_among_the_settings_is_found(codec_of, kept, rendered):
    codec = codec_of(config={"chat_template": kept})
    assert (codec.render_chat(HELLO), codec.has_template) == (rendered, rendered != "héllo")


def test_a_template_of_its_own_file_goes_first(codec_of):
    assert codec_of("file", {"chat_template": "settings"}).render_chat(HELLO) == "file"


def test_blocks_are_trimmed_and_loops_may_break(codec_of):
    template = "{% for message in messages %}\n    {% break %}\n{% endfor %}\nend"
    assert codec_of(template).render_chat(HELLO) == "end"


def test_what_is_marked_as_generated_is_rendered_as_it_stands(codec_of):
    """As transformers renders it; SmolLM3's template is an example."""
    template = (
        "{% set said = 'before' %}\n{% for message in messages %}\n{% generation %}\n{% set said = message.content %}\n"
        "{{ said }}|\n{% endgeneration %}\n{{ said }}{% endfor %}"
    )
    from transformers.utils.chat_template_utils import render_jinja_template

    (expected,), _ = render_jinja_template([HELLO], chat_template=template)
    assert codec_of(template).render_chat(HELLO) == expected == "héllo|\nbefore"


def test_to_json_keeps_letters_and_html_as_they_are(codec_of):
    template = "{{ messages | tojson }}{{ {'a': '<é>'} | tojson(indent=2) }}"
    expected = '[{"role": "user", "content": "héllo"}]{\n  "a": "<é>"\n}'
    assert codec_of(template).render_chat(HELLO) == expected


def test_to_json_takes_the_arguments_it_has_in_transformers(codec_of):
    template = "{{ {'b': 'é', 'a': 1} | tojson(ensure_ascii=False, separators=(',', ':'), sort_keys=True) }}"
    assert codec_of(template).render_chat(HELLO) == '{"a":1,"b":"é"}'


def test_today_comes_from_strftime_now(codec_of):
    assert codec_of("{{ strftime_now('%Y') }}").render_chat(HELLO).isdigit()


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{% for %}", "Expected an expression, got 'end of statement block'"),
        ("{{ messages[0].nothing.more }}", "'dict object' has no attribute 'nothing'"),
    ],
)
def test_a_template_that_refuses_is_an_edgedraft_error(codec_of, template, reason, raises_exactly):
    with raises_exactly(f"chat_template.jinja cannot render this conversation, got {reason}"):
        codec_of(template).render_chat(HELLO)


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages.__class__.__mro__ }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{{ raise_exception.__globals__['json'] }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update({'role': 'x'}) }}",
    ],
)
def test_the_sandbox_lets_nothing_out(codec_of, template):
    with pytest.raises(EdgedraftError, match=r"^chat_template\.jinja cannot render this conversation, got .*unsafe"):
        codec_of(template).render_chat(HELLO)


@pytest.mark.parametrize("template", ["{{ 'text' + messages[0]['role'] + 1 }}", "{{ 1 // 0 }}", "{{ range(10 ** 9) }}"])
def test_a_template_that_fails_in_python_is_an_edgedraft_error_too(codec_of, template):
    with pytest.raises(EdgedraftError, match=r"^chat_template\.jinja cannot render this conversation, got "):
        codec_of(template).render_chat(HELLO)


def test_without_a_template_the_contents_are_joined_by_blank_lines(codec_of):
    messages = [{"role": "system", "content": "one"}, {"role": "user", "content": "two"}]
    assert codec_of().render_chat(messages) == "one\n\ntwo"


def stream(codec, token_ids, stop=()):
    """The pieces of a whole stream, up to a stop string, and the stream."""
    found = TextStream(codec, stop)
    pieces = []
    for token_id in token_ids:
        pieces.append(found.push(token_id))
        if found.stopped:
            return pieces, found
    return [*pieces, found.finish()], found


@LAWS
@given(text=TEXTS)
def test_the_pieces_of_a_stream_join_to_the_text(merged, text):
    pieces, found = stream(merged, merged.encode(text))
    assert "".join(pieces) == text
    assert not found.stopped


@LAWS
@given(text=TEXTS, stop=st.text(alphabet="abEND é😀", min_size=1, max_size=4))
def test_a_stream_ends_just_before_its_stop_string(merged, text, stop):
    pieces, found = stream(merged, merged.encode(text), [stop])
    before, separator, _ = text.partition(stop)
    assert "".join(pieces) == before
    assert found.stopped is bool(separator)


def test_a_character_comes_when_its_last_byte_comes(codec_of):
    codec = codec_of()
    pieces, _ = stream(codec, codec.encode("é😀a"))
    assert pieces == ["", "é", "", "", "", "😀", "a", ""]


def test_special_tokens_make_no_text(codec_of):
    codec = codec_of()
    assert stream(codec, codec.encode("a<|end|>b"))[0] == ["a", "", "b", ""]


def test_text_that_may_begin_a_stop_string_is_held_until_it_does_not(codec_of):
    codec = codec_of()
    pieces, found = stream(codec, codec.encode("xENEx"), ["END"])
    assert pieces == ["x", "", "", "EN", "Ex", ""]
    assert not found.stopped


def test_finish_gives_what_was_held_once(codec_of):
    codec = codec_of()
    found = TextStream(codec, ["END"])
    assert [found.push(token_id) for token_id in codec.encode("aEN")] == ["a", "", ""]
    assert [found.finish(), found.finish()] == ["EN", ""]


def test_text_behind_a_stop_string_in_the_same_token_is_dropped(merged):
    pieces, found = stream(merged, merged.encode("xEND"), ["N"])
    assert pieces == ["x", "E"]
    assert (found.stopped, found.finish()) == (True, "")


def test_the_stop_string_that_comes_first_in_the_text_wins(merged):
    assert stream(merged, merged.encode("xEND"), ["D", "N"])[0] == ["x", "E"]
    assert stream(merged, merged.encode("xEND"), ["N", "D"])[0] == ["x", "E"]


def test_an_empty_stop_string_never_stops(codec_of):
    codec = codec_of()
    pieces, found = stream(codec, codec.encode("ab"), [""])
    assert (pieces, found.stopped) == (["a", "b", ""], False)


# --- many texts at once ----------------------------------------------------------------------------------------------


@LAWS
@given(texts=st.lists(TEXTS, max_size=5))
def test_a_batch_is_every_text_encoded(merged, texts):
    assert merged.encode_batch(texts) == [merged.encode(text) for text in texts]


@LAWS
@given(pieces=st.lists(st.text(alphabet="abEND é中", min_size=1, max_size=6), max_size=8))
def test_pieces_have_the_ids_that_the_model_gives_each(merged, pieces):
    ids, lengths = merged.encode_pieces(pieces)
    each = [[token.id for token in merged.tokenizer.model.tokenize(piece)] for piece in pieces]
    assert ids.tolist() == [token_id for found in each for token_id in found]
    assert lengths.tolist() == [len(found) for found in each]


@LAWS
@given(text=TEXTS)
def test_bounds_tell_which_characters_a_token_holds(merged, text):
    ((ids, bounds),) = merged.encode_with_bounds([text])
    assert ids == merged.encode(text)
    for token_id, (start, end) in zip(ids, bounds, strict=True):
        part = merged.decode([token_id])
        assert part in ("\ufffd", text[start:end]) or part.strip("\ufffd") in text[start:end]


def test_parts_match_by_the_tokenizers_own_expressions():
    assert matching_parts(r"\p{L}+|\p{N}", "ab 12é中_") == ["ab", "1", "2", "é中"]
    assert matching_parts("x", "") == []


def test_the_chat_fingerprint_follows_the_template_and_the_special_tokens(codec_of, tmp_path):
    def at(name, template, config=None):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "tokenizer.json").write_bytes((codec.folder / "tokenizer.json").read_bytes())
        if template is not None:
            (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
        if config is not None:
            (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
        return TextCodec(folder)

    codec = codec_of("hello")
    assert at("same", "hello").chat_fingerprint == codec.chat_fingerprint
    others = [at("other", "goodbye"), at("none", None), at("more", "hello", {"bos_token": "<s>"})]
    assert len({each.chat_fingerprint for each in (codec, *others)}) == 4
    assert [each.has_template for each in others] == [True, False, True]
