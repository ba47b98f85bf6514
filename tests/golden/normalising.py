"""Named rules that replace what differs between runs, machines and versions; everything else stays exact."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence

LONGEST_LIST = 16
FLOAT_DIGITS = 6

_ALWAYS = {
    "times": re.compile(r"^(first_token_seconds|tokens_per_second)$"),
}
"""Keys whose numbers are clock readings in every scenario that answers."""

_MEASURED = {
    "times and speeds": re.compile(r"(seconds|tokens_per_second)$"),
    "speed ratios": re.compile(r"^(speed_up|chance_to_|trimmed_over_full|mbsu_by_seconds)"),
    "shares of a round": re.compile(r"^share$"),
    "the verdict": re.compile(r"^(speculate|reason)$"),
    "what an adaptive policy drafted": re.compile(r"^statistics$"),
    "this machine": re.compile(r"^(machine|processor|cores|memory_bytes|system|features|device|onnxruntime)$"),
}
"""Keys whose values depend on this machine."""

_VERSIONED = {
    "sums of files": re.compile(r"^sha256$"),
    "sizes of files": re.compile(r"^bytes$"),
}
"""Keys in a manifest that change with the libraries that write graphs; `bytes.json` holds them beside the versions."""

_SUM = re.compile(r"\b[0-9a-f]{64}\b")
_OFFERED = re.compile(r"\boffers [a-z, ]+, got")
_CONVERSION = re.compile(r"(-fp32|-int4|-int8)((?:-[a-z]+)*)-[0-9a-f]{12}\b")


def normalised(value: object, places: Mapping[str, str], *, measured: bool = False, answers: bool = False) -> object:
    """Return ``value``, plain JSON data, after all rules.

    ``measured`` applies the rules of this machine, ``answers`` those of clock readings beside an answer's text.
    """
    rules = [*(_MEASURED.values() if measured else ()), *(_ALWAYS.values() if answers else ())]
    return shortened(_walk(value, rules, lambda text: without_places(text, places)))


def without_versions(value: object) -> object:
    """Replace the sizes and sums in a manifest's list of files."""
    return _walk(value, list(_VERSIONED.values()), str)


def _walk(value: object, rules: list[re.Pattern[str]], text: Callable[[str], str]) -> object:
    if isinstance(value, dict):
        return {
            text(key): _masked(each)
            if any(rule.search(key) for rule in rules)
            else _walk(_coarse(key, each), rules, text)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [_walk(each, rules, text) for each in value]
    if isinstance(value, float):
        return float(f"{value:.{FLOAT_DIGITS}g}")
    return text(value) if isinstance(value, str) else value


def _masked(value: object) -> object:
    """Keep the structure and the types of ``value``, none of its content."""
    if isinstance(value, dict):
        return {key: _masked(each) for key, each in value.items()}
    if isinstance(value, list):
        masked = [_masked(each) for each in value]
        return masked[:1] if masked[:1] == ["<text>"] else masked  # another machine has more features, or fewer
    kinds = {bool: "<true or false>", int: "<number>", float: "<number>", str: "<text>", type(None): None}
    return kinds[type(value)]


def _coarse(key: str, value: object) -> object:
    """Round log-probabilities to what every processor's arithmetic agrees on."""
    return [round(each, 2) for each in value] if key == "log_probs" and isinstance(value, list) else value


def shortened(value: object) -> object:
    """Replace lists above 16 entries by their length, first entry and SHA-256."""
    if isinstance(value, dict):
        return {key: shortened(each) for key, each in value.items()}
    if not isinstance(value, list):
        return value
    if len(value) <= LONGEST_LIST:
        return [shortened(each) for each in value]
    digest = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
    return {"<length>": len(value), "<first>": shortened(value[0]), "<sha256>": digest}


def portable(texts: Sequence[str]) -> list[str]:
    """Replace the SHA-256 sums of files, and the providers of this onnxruntime, in lines of text."""
    return [_OFFERED.sub("offers <providers>, got", _SUM.sub("<sha256>", text)) for text in texts]


def without_places(text: str, places: Mapping[str, str]) -> str:
    """Replace temporary paths by their names, and a conversion's hash of library versions."""
    for path in sorted(places, key=len, reverse=True):
        text = text.replace(path, places[path])
    return _CONVERSION.sub(r"\1\2-<versions>", text)
