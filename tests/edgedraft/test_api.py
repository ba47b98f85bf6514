"""The public door: load a bundle, answer whole, in pieces or as chat, with what it took; what is imported when."""

import inspect
import subprocess
import sys

import pytest

import edgedraft
from edgedraft import DecodingOptions, EdgedraftError, Engine, SamplingSettings
from edgedraft.runtime.engine import AnswerKeywords

PUBLIC = {
    *("load", "export", "bench", "Engine", "Answer", "DecodingOptions", "SamplingSettings", "ExportRequest"),
    *("BenchRequest", "EdgedraftError", "__version__"),
}


@pytest.fixture(scope="module")
def model(tiny_bundle):
    return edgedraft.load(tiny_bundle)


def test_the_public_names_are_these():
    assert set(edgedraft.__all__) == PUBLIC
    assert all(hasattr(edgedraft, name) for name in edgedraft.__all__)
    assert set(dir(edgedraft)) >= PUBLIC
    with pytest.raises(AttributeError, match="module 'edgedraft' has no attribute 'generate'"):
        _ = edgedraft.generate


def test_importing_the_package_loads_nothing_heavy():
    script = "import sys, edgedraft; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    heavy = {"numpy", "onnxruntime", "onnx_ir", "tokenizers", "torch", "transformers", "argparse"}
    assert set(done.stdout.split()) & heavy == set()


def test_a_bundle_answers_whole_in_pieces_and_as_chat(model):
    whole = model.generate("sort the list", max_new_tokens=24, options=DecodingOptions(speculate=False))
    pieces = list(model.stream("sort the list", max_new_tokens=24, options=DecodingOptions(policy="fixed")))
    chat = model.generate([{"role": "user", "content": "sort the list"}], max_new_tokens=24)
    assert "".join(piece.text for piece in pieces) == str(whole) == whole.text == chat.text
    assert {piece.drafted for piece in pieces} == {True, False}, "some pieces were drafted and some were not"
    assert model.chat([{"role": "user", "content": "sort the list"}], max_new_tokens=24)["content"] == whole.text


def test_the_last_piece_and_the_answer_say_what_it_took(model):
    drafted = DecodingOptions(policy="fixed")
    *pieces, last = model.stream("sort the list", max_new_tokens=24, options=drafted)
    assert {(piece.finish_reason, piece.usage) for piece in pieces} == {(None, None)}
    assert last.text == ""
    answer = model.generate("sort the list", max_new_tokens=24, options=drafted)
    prompt_ids = model.codec.encode_chat([{"role": "user", "content": "sort the list"}])
    for usage in (last.usage, answer.usage):
        assert usage.prompt_tokens == len(prompt_ids)
        assert usage.completion_tokens == len(answer.token_ids) == 24
        assert usage.drafted_tokens >= usage.accepted_tokens > 0
        assert 1 + usage.statistics.tokens == 24, "the first token comes from the prompt's own pass"
        assert usage.seconds > usage.first_token_seconds > 0
    plain = model.generate("sort the list", max_new_tokens=24, options=DecodingOptions(speculate=False))
    assert (plain.usage.drafted_tokens, plain.usage.accepted_tokens) == (0, 0)


def test_an_answer_says_why_it_ended(model):
    whole = model.generate("sort the list", max_new_tokens=24)
    assert whole.finish_reason == "length"
    stop = whole.text[5:8]
    for given in (stop, [stop], ("never there", stop)):
        stopped = model.generate("sort the list", max_new_tokens=24, stop=given)
        assert stopped.text == whole.text[: whole.text.index(stop)]
        assert stopped.finish_reason == "stop"
        assert stopped.token_ids == whole.token_ids[: len(stopped.token_ids)]
        assert stopped.usage.completion_tokens == len(stopped.token_ids) < 24


def test_an_end_token_is_a_stop(model):
    ends = model.bundle.manifest.end_token_ids
    biased = SamplingSettings(temperature=0, logit_bias={ends[0]: 1000.0})
    answer = model.generate("sort the list", options=DecodingOptions(sampling=biased))
    assert (answer.text, answer.token_ids, answer.finish_reason) == ("", ends[:1], "stop")


def test_every_way_to_an_answer_takes_the_same_keywords():
    parameters = inspect.signature(Engine.stream).parameters.values()
    assert list(AnswerKeywords.__annotations__) == [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]


def test_keywords_draw_like_the_options_they_stand_for(model):
    sampling = SamplingSettings(temperature=0.9, top_p=0.9, top_k=50, min_p=0.01)
    options = DecodingOptions(sampling=sampling, seed=3)
    keywords = {"temperature": 0.9, "top_p": 0.9, "top_k": 50, "min_p": 0.01, "seed": 3}
    drawn = model.generate("sort the list", max_new_tokens=16, options=options).text
    assert model.generate("sort the list", max_new_tokens=16, **keywords).text == drawn
    assert "".join(piece.text for piece in model.stream("sort the list", max_new_tokens=16, **keywords)) == drawn
    assert model.chat([{"role": "user", "content": "sort the list"}], max_new_tokens=16, **keywords)["content"] == drawn
    mixed = model.generate("sort the list", max_new_tokens=16, seed=3, options=DecodingOptions(sampling=sampling))
    assert mixed.text == drawn
    assert model.generate("sort the list", max_new_tokens=16, temperature=0.9, seed=4).text != drawn


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"temperature": 0.5, "options": DecodingOptions(sampling=SamplingSettings())}, "got temperature - give each"),
        ({"seed": 1, "options": DecodingOptions(seed=1)}, "got seed - give each setting in one place"),
        ({"top_p": 0.5}, "top_p: only drawn tokens are filtered - give a temperature above 0"),
        ({"top_k": 5, "temperature": 0.0}, "top_k: only drawn tokens are filtered"),
        ({"temperature": -1.0}, "temperature must be 0, or 0.0001 or more, got -1.0"),
        ({"max_new_tokens": 0}, "max_new_tokens must be at least 1, got 0"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "+".join(value),
)
def test_settings_that_contradict_each_other_are_refused_at_once(model, keywords, message):
    with pytest.raises(EdgedraftError, match=message):
        model.stream("sort the list", **keywords)


def test_a_stop_text_gives_the_slot_back_before_the_last_piece_is_handed_out(tiny_bundle):
    model = edgedraft.load(tiny_bundle)
    whole = model.generate("merge the list", max_new_tokens=24).text
    with model.slots.taken() as only:
        only.clear()
    for piece in model.stream("merge the list", max_new_tokens=24, stop=whole[5:8]):
        if piece.usage is not None:
            with model.slots.taken() as idle:
                assert idle is only, "the only slot there is, given back"
