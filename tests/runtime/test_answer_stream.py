"""A stream ends when it is cancelled from any thread, an asynchronous loop reads it, and an engine can be closed."""

import asyncio
import gc
import threading
import weakref

import pytest

from edgedraft.runtime.engine import DecodingOptions, Engine

TOOLS = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]


@pytest.fixture
def engine(ledger_bundle):
    with Engine.open(ledger_bundle, context_length=256) as opened:
        yield opened


def text_of(pieces):
    return "".join(piece.text for piece in pieces)


def test_a_thread_cancels_an_answer_that_another_reads(engine):
    whole = engine.generate("hello", max_new_tokens=200)
    stream = engine.stream("hello", max_new_tokens=200)
    pieces = [next(stream)]
    canceller = threading.Thread(target=stream.cancel)
    canceller.start()
    canceller.join()
    pieces += stream
    assert pieces[-1].finish_reason == "cancelled"
    assert pieces[-1].usage.completion_tokens == sum(len(piece.token_ids) for piece in pieces) < 12
    assert whole.text.startswith(text_of(pieces).rstrip("\ufffd"))
    assert engine.generate("hello", max_new_tokens=200) == whole  # the slot is as good as before


def test_an_answer_that_is_cancelled_before_it_begins_has_no_token(engine):
    stream = engine.stream("hello")
    stream.cancel()
    (last,) = stream
    assert (last.finish_reason, last.usage.completion_tokens, last.token_ids) == ("cancelled", 0, ())
    assert 0 <= last.usage.first_token_seconds <= last.usage.seconds


def test_cancelling_behind_the_end_changes_nothing(engine):
    stream = engine.stream("hello", max_new_tokens=3)
    pieces = list(stream)
    stream.cancel()
    assert pieces[-1].finish_reason == "length"
    assert list(stream) == []


def test_a_stream_that_nobody_holds_gives_its_slot_back_at_once(engine):
    gc.disable()
    try:
        stream = engine.stream("hello")
        next(stream)
        held = weakref.ref(stream)
        del stream
        assert held() is None
        with engine.slots.taken() as slot:
            assert slot.target.length > 0
    finally:
        gc.enable()


def test_an_asynchronous_loop_reads_every_piece(engine):
    async def read(prompt):
        return [piece async for piece in engine.stream(prompt, max_new_tokens=20)]

    async def both():
        return await asyncio.gather(read("hello"), read("sort"))

    for pieces, prompt in zip(asyncio.run(both()), ("hello", "sort"), strict=True):
        assert text_of(pieces) == engine.generate(prompt, max_new_tokens=20).text
        assert pieces[-1].finish_reason == "length"


def test_a_task_that_is_cancelled_cancels_its_answer(engine):
    async def work():
        stream = engine.stream("hello", max_new_tokens=200)
        await anext(stream)
        reading = asyncio.create_task(anext(stream))
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await asyncio.sleep(0.05)
        return list(stream)

    assert asyncio.run(work())[-1].finish_reason == "cancelled"


def test_several_prompts_are_answered_in_their_order(engine):
    prompts = ["hello", "sort", [{"role": "user", "content": "merge"}], "hello"]
    alone = [engine.generate(prompt, max_new_tokens=16).text for prompt in prompts]
    assert [answer.text for answer in engine.generate_all(prompts, at_once=3, max_new_tokens=16)] == alone
    assert engine.generate_all([]) == []


def test_one_at_a_time_is_the_least(engine, raises_exactly):
    with raises_exactly("at_once must be at least 1, got 0"):
        engine.generate_all(["hello"], at_once=0)


def test_a_closed_engine_lets_go_of_its_models_and_answers_no_more(ledger_bundle, raises_exactly):
    with Engine.open(ledger_bundle, context_length=256) as engine:
        running = engine.stream("hello", max_new_tokens=8)
        next(running)
        graph = weakref.ref(engine._target_graph)
    assert list(running)[-1].finish_reason == "length"  # what had begun goes on to its end
    del running
    gc.collect()
    assert graph() is None
    with raises_exactly("the bundle is closed - open it again"):
        engine.generate("hello")


def test_tools_reach_the_template_and_calls_come_back(ledger_bundle, templated):
    shown = "{% for t in tools or [] %}{{ t['function']['name'] }}<tool_call></tool_call>{% endfor %}"
    template = (ledger_bundle / "chat_template.jinja").read_text(encoding="utf-8")
    engine = Engine.open(templated(ledger_bundle, shown + template), context_length=256)
    talk = [{"role": "user", "content": "hello"}]
    with_tools = engine.codec.encode_chat(talk, TOOLS)
    assert "look_up" in engine.codec.decode(with_tools)
    answer = engine.chat(talk, tools=TOOLS, max_new_tokens=8)
    alone = engine.pieces(with_tools, max_new_tokens=8)
    assert answer == {"role": "assistant", "content": text_of(alone)}
    call = '<tool_call>{"name": "look_up", "arguments": {}}</tool_call>'
    saying(engine, call)
    answer = engine.chat(talk, tools=TOOLS)
    assert answer["content"] is None
    assert [each["function"] for each in answer["tool_calls"]] == [{"name": "look_up", "arguments": "{}"}]
    assert engine.chat(talk) == {"role": "assistant", "content": call}


def saying(engine, text):
    """Make the engine answer ``text``, whatever it is asked."""
    biased = engine.codec.encode(text)
    plain = engine.rounds

    def rounds(prompt_ids, limits, options=None, pacing=None):
        first = next(plain(prompt_ids, limits, options or DecodingOptions()))
        return iter([type(first)(token_ids=(token,)) for token in (*biased, *limits.end_token_ids)])

    engine.rounds = rounds


def test_top_log_probs_come_with_each_piece(engine):
    options = DecodingOptions(log_probs=True, top_log_probs=3)
    pieces = list(engine.stream("hello", max_new_tokens=20, options=options))
    for piece in pieces[:-1]:
        assert len(piece.top_log_probs) == len(piece.token_ids) == len(piece.log_probs) == len(piece.drafted_by_token)
        for token_id, log_prob, best in zip(piece.token_ids, piece.log_probs, piece.top_log_probs, strict=True):
            assert best[0] == (token_id, log_prob)
            assert len(best) == 3
    flags = [flag for piece in pieces for flag in piece.drafted_by_token]
    assert sum(flags) == pieces[-1].usage.accepted_tokens
