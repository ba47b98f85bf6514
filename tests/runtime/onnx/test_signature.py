"""What a graph takes is told from its own inputs and outputs; what is not understood is named, with a remedy."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, save

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.onnx.signature import CacheInput, cache_slot, read_signature

FILE = Path("model.onnx")
AGAIN = "export the model again with edgedraft"


@dataclass(frozen=True)
class Node:
    name: str
    shape: list
    type: str = "tensor(float)"


def integers(name, *shape):
    return Node(name, list(shape), "tensor(int64)")


IDS = integers("input_ids", "batch", "tokens")
MASK = integers("attention_mask", "batch", "total")
LOGITS = Node("logits", ["batch", "tokens", 9])
PAST = Node("past_key_values.0.key", ["batch", 2, "context", 4])
PRESENT = replace(PAST, name="present.0.key")


def read(*inputs, outputs=(PRESENT, LOGITS), path=FILE):
    return read_signature(path, inputs, outputs)


def test_everything_is_read_from_the_declarations():
    past = [PAST, Node("past_key_values.0.value", ["batch", 2, "context", 6], "tensor(float16)")]
    present = [replace(node, name=node.name.replace("past_key_values", "present")) for node in past]
    found = read(IDS, MASK, *past, outputs=(*present[::-1], LOGITS))
    assert found.feeds == {"input_ids", "attention_mask"}
    names = {"name": "past_key_values.0.key", "present": "present.0.key"}
    assert found.caches == (
        CacheInput(**names, heads=2, width=4, dtype=np.float32),
        CacheInput(name=past[1].name, present=present[1].name, heads=2, width=6, dtype=np.float16),
    )
    assert (found.vocab_size, found.shared, found.rows) == (9, True, "batch")


@pytest.mark.parametrize(
    ("name", "slot"),
    [
        ("past_key_values.12.key", (12, "key")),
        ("present.0.value", (0, "value")),
        ("past_key_values_3_value", (3, "value")),
        ("past_7_key", (7, "key")),
        ("past.7.key", (7, "key")),
        ("past_key_2", (2, "key")),
        ("present_key_values.value.2", (2, "value")),
        ("past_key_values.0.decoder.key", None),
        ("past_0", None),
        ("past_key_values.0.keys", None),
        ("position_ids", None),
        ("xpast_key_values.0.key", None),
    ],
)
def test_keys_and_values_are_told_by_name(name, slot):
    assert cache_slot(name) == slot


# --- one buffer or two -----------------------------------------------------------------------------------------------


def saved(path, operator, past=PAST):
    """A file in which ``operator`` reads the past."""
    value = helper.make_tensor_value_info
    node = helper.make_node(operator, ["x", past.name], ["y"])
    inputs = [value(name, TensorProto.FLOAT, ["n"]) for name in ("x", past.name)]
    save(helper.make_model(helper.make_graph([node], "g", inputs, [value("y", TensorProto.FLOAT, ["n"])])), path)
    return path


@pytest.mark.parametrize(("operator", "shared"), [("GroupQueryAttention", True), ("Concat", False), ("Cast", False)])
@pytest.mark.parametrize("lengths", [("past", "total"), (None, None)])
def test_where_lengths_differ_the_operators_decide(tmp_path, operator, shared, lengths):
    path = saved(tmp_path / "model.onnx", operator)
    past, present = (replace(PAST, shape=["batch", 2, length, 4]) for length in lengths)
    outputs = (replace(present, name="present.0.key"), LOGITS)
    assert read(IDS, past, outputs=outputs, path=path).shared == shared


def test_one_cache_that_grows_makes_the_graph_one_that_grows(tmp_path):
    path = saved(tmp_path / "model.onnx", "Concat", replace(PAST, name="past_key_values.1.key"))
    more = replace(PAST, name="past_key_values.1.key", shape=["batch", 2, "past", 4])
    grown = replace(more, name="present.1.key", shape=["batch", 2, "past + tokens", 4])
    assert not read(IDS, PAST, more, outputs=(PRESENT, grown, LOGITS), path=path).shared


# --- refusals --------------------------------------------------------------------------------------------------------

KNOWN = "attention_mask, cache_position, input_ids, position_ids and a key and a value for each layer"


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (
            Node("past_key_values.0.decoder.key", [1, 2, "p", 4]),
            "past_key_values.0.decoder.key: encoder-decoder models are not read - choose a decoder alone",
        ),
        (
            Node("encoder_hidden_states", [1, "s", 8]),
            "encoder_hidden_states: encoder-decoder models are not read - choose a decoder alone",
        ),
        (
            Node("use_cache_branch", [1], "tensor(bool)"),
            "use_cache_branch: graphs of two merged branches are not read - export one graph with past, without "
            "merging",
        ),
        (Node("past_0", [2, 1, 2, "p", 4]), f"past_0: keys and values in one tensor are not read - {AGAIN}"),
        (
            Node("inputs_embeds", [1, "s", 8]),
            f"inputs_embeds: graphs without their embedding are not read - {AGAIN}",
        ),
        (integers("token_type_ids", 1, "s"), f"token_type_ids: not known; a decoder takes {KNOWN} - {AGAIN}"),
        (
            Node("position_ids", [1, "s"], "tensor(int32)"),
            f"position_ids: expected tensor(int64) of 2 axes, got tensor(int32) of 2 - {AGAIN}",
        ),
        (
            integers("attention_mask", 1, 1, "s", "t"),
            f"attention_mask: expected tensor(int64) of 2 axes, got tensor(int64) of 4 - {AGAIN}",
        ),
        (integers("position_ids", 1, 1), "position_ids: expected a symbolic number of tokens, got [1, 1]"),
    ],
)
def test_an_input_that_is_not_understood_is_named(extra, message, raises_exactly):
    with raises_exactly(f"model.onnx: input {message}"):
        read(IDS, extra, PAST)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": [2, "p", 8]}, f"expected (batch, heads, tokens, head size), got [2, 'p', 8] - {AGAIN}"),
        (
            {"shape": ["b", 2, "p", "d"]},
            "expected fixed heads and head size, got ['b', 2, 'p', 'd'] - export the model with edgedraft, which "
            "fixes them",
        ),
        ({"shape": ["b", 2, 64, 4]}, "expected a symbolic number of tokens, got ['b', 2, 64, 4]"),
        (
            {"type": "tensor(bfloat16)"},
            f"expected tensor(float) or tensor(float16), got tensor(bfloat16) - {AGAIN}",
        ),
    ],
)
def test_a_past_that_cannot_be_held_is_named(changes, message, raises_exactly):
    with raises_exactly(f"model.onnx: input past_key_values.0.key: {message}"):
        read(IDS, replace(PAST, **changes))


@pytest.mark.parametrize(
    ("changes", "got"),
    [
        ({"shape": []}, "tensor(float) []"),
        ({"shape": ["b", 2]}, "tensor(float) ['b', 2]"),
        ({"shape": ["b", 2, "p", 4, 1]}, "tensor(float) ['b', 2, 'p', 4, 1]"),
        ({"shape": ["b", 2, "p", 4], "type": "tensor(float16)"}, "tensor(float16) ['b', 2, 'p', 4]"),
    ],
)
def test_a_present_that_is_no_past_is_named(changes, got, raises_exactly):
    rule = "expected its output present.0.key of 4 axes and tensor(float)"
    with raises_exactly(f"model.onnx: input past_key_values.0.key: {rule}, got {got} - {AGAIN}"):
        read(IDS, PAST, outputs=[replace(PRESENT, **changes), LOGITS])


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        ([PAST], [PRESENT, LOGITS], "no input named input_ids, got []"),
        ([IDS], [LOGITS], "no keys and values among the inputs - export a decoder with past"),
        ([IDS, PAST], [LOGITS], f"input past_key_values.0.key: no output holds what it becomes - {AGAIN}"),
        ([IDS, PAST], [PRESENT], "no output named logits, got ['present.0.key']"),
        (
            [IDS, PAST],
            [PRESENT, replace(LOGITS, type="tensor(float16)")],
            "logits: expected tensor(float), got tensor(float16)",
        ),
        (
            [IDS, PAST],
            [PRESENT, replace(LOGITS, shape=["b", "t", "v"])],
            "logits: expected a fixed width, got v",
        ),
    ],
)
def test_what_is_missing_is_named(inputs, outputs, message, raises_exactly):
    with raises_exactly(f"model.onnx: {message}"):
        read(*inputs, outputs=outputs)


# --- recurrent states ------------------------------------------------------------------------------------------------

STATE = Node("past.1.recurrent", ["batch", 2, 4, 6])
AFTER, CUT = replace(STATE, name="present.1.recurrent"), replace(STATE, name="checkpoint.1.recurrent")
ROWS = Node("checkpoint_rows", [1], "tensor(int64)")


def test_states_are_read_beside_keys_and_values():
    found = read(IDS, PAST, STATE, ROWS, outputs=(PRESENT, LOGITS, AFTER, CUT))
    (state,) = found.states
    assert (state.name, state.present, state.checkpoint) == (STATE.name, AFTER.name, CUT.name)
    assert (state.shape, state.dtype, state.nbytes) == ((1, 2, 4, 6), np.float32, 192)
    assert found.checkpoints
    assert not read(IDS, STATE, outputs=(LOGITS, AFTER)).checkpoints
    assert read(IDS, STATE, outputs=(LOGITS, AFTER, CUT)).checkpoints, "an input with a default is not listed"


HOSTILE = {
    "an output is missing": ([STATE], [], "input past.1.recurrent: no output holds what it becomes - "),
    "of another type": (
        [replace(STATE, type="tensor(int8)")],
        [AFTER],
        "input past.1.recurrent: expected tensor(float) or tensor(float16), got tensor(int8) - ",
    ),
    "of no fixed size": (
        [replace(STATE, shape=["batch", "tokens", 4])],
        [AFTER],
        "expected a batch axis and then fixed",
    ),
    "of negative size": (
        [replace(STATE, shape=["batch", -2, 4])],
        [AFTER],
        "expected a batch axis and then fixed sizes",
    ),
    "of no axes": ([replace(STATE, shape=[])], [AFTER], "expected a batch axis and then fixed sizes, got []"),
    "of many axes": (
        [replace(STATE, shape=[1] * 5000)],
        [AFTER],
        "expected a batch axis and then fixed sizes, got [1, 1, ",
    ),
    "enormous": (
        [replace(STATE, shape=[1, 2**62, 4])],
        [replace(AFTER, shape=[1, 2**62, 4])],
        f"recurrent states must be {2**32} bytes or less together, got {2**66} - ",
    ),
    "twice": (
        [STATE, replace(STATE, name="past_recurrent.1")],
        [AFTER],
        "input past_recurrent.1: another input holds the same layer's state - ",
    ),
    "that changes its type": (
        [STATE],
        [replace(AFTER, type="tensor(double)")],
        "output present.1.recurrent: expected the type and sizes of past.1.recurrent, got tensor",
    ),
    "that grows": (
        [STATE],
        [replace(AFTER, shape=[1, 2, 4, 7])],
        "output present.1.recurrent: expected the type and sizes of past.1.recurrent, got tensor",
    ),
    "with another checkpoint": (
        [STATE, ROWS],
        [AFTER, replace(CUT, shape=[1, 2, 4, 9])],
        "output checkpoint.1.recurrent: expected the type and sizes of past.1.recurrent, got tensor",
    ),
    "cut at no number": (
        [STATE, replace(ROWS, type="tensor(float)")],
        [AFTER, CUT],
        "input checkpoint_rows: expected tensor(int64) [1], got tensor(float) [1] - ",
    ),
}


@pytest.mark.parametrize(("inputs", "outputs", "message"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_states_are_refused_in_one_line(inputs, outputs, message):
    with pytest.raises(EdgedraftError) as error:
        read(IDS, *inputs, outputs=(LOGITS, *outputs))
    assert message in str(error.value)
    assert str(error.value).endswith(f" - {AGAIN}") and "\n" not in str(error.value)
    assert len(str(error.value)) < 300
