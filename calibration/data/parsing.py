"""One entry of a data set, whichever way it is laid out, as a Sample: pure, and not knowing where it came from.

Layouts, by the field that gives them away; where an entry has several, the first of this order is read:

    messages, conversations, conversation   turns of role/content or ShareGPT's from/value
    prompt (and completion)                 texts, or lists of turns
    instruction (and input, output)         Alpaca
    turns (and question_id)                 Spec-Bench and MT-bench: what the user says, answer by answer
    text                                    no conversation: the text as it stands

Beside them: tools (or functions), system, id, split, category. Other fields are the data set's own and are passed over;
a field that is null counts as absent.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from edgedraft.calibration.data.samples import RANK, SCORE, Sample
from edgedraft.calibration.data.turns import SYSTEM, USER, listed, messages, text
from edgedraft.runtime.base.errors import EdgedraftError, shown
from edgedraft.runtime.base.records import require
from edgedraft.runtime.text.messages import ASSISTANT, Message

_LONGEST_CATEGORY = 64
_BLANK = re.compile(r"\s*")

LARGEST_ENTRY_BYTES = 64 * 2**20

_Fields = Mapping[str, Any]


def parse_json(raw: bytes, number: int) -> Sample:
    """Return the sample in a line of JSON; ``number`` is the entry's place in its file, from 1.

    Errors carry no file or line: the caller knows them.
    """
    return parse_entry(decoded_json(raw), number)


def parse_entry(data: object, number: int) -> Sample:
    """Return the sample in an object; without an ``id`` it is named by its number."""
    if not isinstance(data, Mapping):
        raise EdgedraftError("expected an object", got=type(data).__name__)
    fields = {str(name): value for name, value in data.items() if value is not None}
    layout = next((name for name in LAYOUTS if name in fields and (name != "turns" or _lists(fields["turns"]))), None)
    if layout is None:
        raise EdgedraftError(f"expected one of {', '.join(LAYOUTS)}", got=listed(fields) or "no field")
    name, split, category = _id(fields, number), _split(fields), _category(fields)
    if layout == "text":
        return Sample(id=name, text=text(fields["text"], "text"), split=split, category=category)
    turns = _with_system(fields, _CONVERSATIONS[layout](fields, layout))
    says = any(message["role"] != SYSTEM and _says_something(message) for message in turns)
    require(says, f"{layout}: expected a turn that says something", got="empty ones")
    later = _user_turns(fields)[1:] if layout == "turns" else []
    return Sample(
        id=name,
        messages=tuple(turns),
        tools=_tools(fields),
        split=split,
        category=category,
        later_turns=tuple(later),
    )


def parse_line(raw: bytes, number: int) -> Sample:
    """Return the sample that is a line of plain text, without its line end."""
    return parse_text(raw.rstrip(b"\r\n"), number)


def parse_text(raw: bytes, number: int) -> Sample:
    """Return the sample that is a piece of plain text; Windows line ends become plain ones."""
    _require_size(raw)
    plain = text_of(raw).replace("\r\n", "\n")
    require("\0" not in plain, "expected text, got a zero byte")
    return Sample(id=default_id(number), text=plain)


def default_id(number: int) -> str:
    """Return the name of an entry without an id."""
    return f"{number:04d}"


def decoded_json(raw: bytes) -> Any:
    """Return the data in UTF-8 JSON of up to `LARGEST_ENTRY_BYTES`, in which every text can be encoded again."""
    _require_size(raw)
    line = text_of(raw.rstrip(b"\r\n"))
    try:
        data = json.loads(line)
        if "\\ud" in line or "\\uD" in line:
            json.dumps(data, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise EdgedraftError(
            "not valid JSON", got=f"{error.msg.removesuffix(' at')} at character {error.pos + 1}"
        ) from error
    except UnicodeEncodeError as error:
        raise EdgedraftError("not valid JSON", got="half of a surrogate pair") from error
    except (ValueError, RecursionError) as error:
        raise EdgedraftError("not valid JSON", got="a number too long or lists too deep") from error
    return data


def is_open_json(line: bytes) -> bool:
    """Return whether a line of JSON ends before its value does, which continues on the next line."""
    shown_text = line.decode("utf-8", "replace").rstrip()
    try:
        json.loads(shown_text)
    except json.JSONDecodeError as error:
        return 0 < len(shown_text) <= error.pos
    except (ValueError, RecursionError):
        return False
    return False


def json_values(raw: bytes) -> list[Any] | None:
    """Return the values of indented JSON, one after the other; None for other texts."""
    decoder, values, place = json.JSONDecoder(), list[Any](), 0
    try:
        whole = text_of(raw).strip()
        while place < len(whole):
            value, end = decoder.raw_decode(whole, place)
            values.append(value)
            place = end + len(_BLANK.match(whole, end)[0])  # type: ignore[index]
        json.dumps(values, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return values


def _require_size(raw: bytes) -> None:
    limit = LARGEST_ENTRY_BYTES
    require(len(raw) <= limit, f"expected at most {limit:,} bytes", remedy="write shorter entries, one a line")


def text_of(raw: bytes) -> str:
    """Return the bytes decoded as UTF-8."""
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise EdgedraftError("expected UTF-8", got=f"byte 0x{raw[error.start]:02x} at {error.start + 1}") from error


def _turns(fields: _Fields, name: str) -> list[Message]:
    return messages(fields[name], name)


def _prompt(fields: _Fields, name: str) -> list[Message]:
    completion = fields.get("completion")
    answer = [] if completion is None else _said(completion, "completion", ASSISTANT)
    return [*_said(fields[name], name, USER), *answer]


def _instruction(fields: _Fields, name: str) -> list[Message]:
    """Alpaca: the input stands below the instruction; both and the output may be blank."""
    asked = [text(fields[name], name), *_optional(fields, "input")]
    answer = [{"role": ASSISTANT, "content": output} for output in _optional(fields, "output")]
    return [{"role": USER, "content": "\n\n".join(asked)}, *answer]


def _lists(value: object) -> bool:
    """Return whether a field holds a list: "turns" may be a number that a data set counts for itself."""
    return isinstance(value, list)


def _first_turn(fields: _Fields, name: str) -> list[Message]:
    return [{"role": USER, "content": _user_turns(fields)[0]}]


def _user_turns(fields: _Fields) -> list[str]:
    """Return what the user says, turn by turn: the answers between are the model's own."""
    turns = fields["turns"]
    require(len(turns) > 0, "turns: expected a list of texts", got="an empty one")
    return [text(turn, f"turns[{place}]") for place, turn in enumerate(turns)]


def _optional(fields: _Fields, name: str) -> list[str]:
    """Return a text field, or nothing where it is missing or blank."""
    value = fields.get(name, "")
    require(isinstance(value, str), f"{name}: expected a text", got=shown(value))
    return [value] if value.strip() else []


def _said(value: object, name: str, role: str) -> list[Message]:
    """Return a text as one message of ``role``, or a list of turns."""
    return messages(value, name) if isinstance(value, list) else [{"role": role, "content": text(value, name)}]


def _with_system(fields: _Fields, turns: list[Message]) -> list[Message]:
    system = _optional(fields, "system")
    if not system:
        return turns
    rule = "system: expected no other system message than the conversation's own"
    if turns[0]["role"] == SYSTEM:
        require(turns[0]["content"] == system[0], rule, got=shown(system[0]))
        return turns
    return [{"role": SYSTEM, "content": system[0]}, *turns]


def _says_something(message: Message) -> bool:
    return bool((message["content"] or "").strip() or message.get("tool_calls") or message.get("function_call"))


def _tools(fields: _Fields) -> tuple[Message, ...]:
    """Return the callable functions: a list of JSON schemas, or such a list written as a text.

    ``functions`` is the older form, schemas without the envelope that templates expect.
    """
    name = "tools" if "tools" in fields else "functions"
    value = fields.get(name, [])
    if isinstance(value, str):
        value = _json_list(value, name)
    valid = isinstance(value, list) and all(isinstance(tool, Mapping) for tool in value)
    require(valid, f"{name}: expected a list of objects", got=shown(value))
    if name == "functions":
        return tuple({"type": "function", "function": tool} for tool in value)
    return tuple(value)


def _json_list(value: str, name: str) -> Any:
    if not value.strip():
        return []
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise EdgedraftError(f"{name}: expected a list of objects", got=shown(value)) from error


def _id(fields: _Fields, number: int) -> str:
    value = fields.get("id", fields.get("question_id", "") if "turns" in fields else "")
    valid = isinstance(value, str | int) and not isinstance(value, bool)
    require(valid, "id: expected a text or a whole number", got=shown(value))
    return str(value) or default_id(number)


def _category(fields: _Fields) -> str | None:
    """Return the kind of task; a category that is no short text is the data set's own affair."""
    value = fields.get("category")
    return value.strip() if isinstance(value, str) and 0 < len(value.strip()) <= _LONGEST_CATEGORY else None


def _split(fields: _Fields) -> str | None:
    split = fields.get("split")
    require(split in (None, RANK, SCORE), f"split: expected {RANK} or {SCORE}", got=shown(split))
    return None if split is None else str(split)


_CONVERSATIONS: Mapping[str, Callable[[_Fields, str], list[Message]]] = {
    "messages": _turns,
    "conversations": _turns,
    "conversation": _turns,
    "prompt": _prompt,
    "instruction": _instruction,
    "turns": _first_turn,
}

LAYOUTS = (*_CONVERSATIONS, "text")
"""The fields that give a layout away; the first one that an entry has is read."""

FIELDS = (
    *LAYOUTS,
    "completion",
    "input",
    "output",
    "tools",
    "functions",
    "system",
    "id",
    "split",
    "category",
    "question_id",
)
"""Every field that is read."""
