"""BundleManifest: the contents of a bundle, as written in its edgedraft.json."""

from dataclasses import dataclass
from pathlib import PurePosixPath

from edgedraft.runtime.base.errors import EdgedraftError, shown
from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.plan import DecodingPlan

SCHEMA_VERSION = 4
_MOST_FILES, _LONGEST_NAME, _LONGEST_PART = 1024, 1024, 255
_MOST_TOKENS, _MOST_CONTEXT, _MOST_ENDS = 2**24, 2**28, 1024
MANIFEST_NAME = "edgedraft.json"
ODD_TOKEN_TABLE = "GatherBlockQuantized/odd"
"""Listed among a model's operators when its packed token table has rows of an odd number of blocks.

WebGPU's kernel refuses such tables.
"""
ROPE_SWITCH_AT = "RotaryTables/"
"""Begins an entry among a model's operators where it has two rotary tables; the longest text of the first follows.

A page, which keeps to the first table, ends its context there.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class FileEntry:
    """Size and SHA-256 of one file of the bundle."""

    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        require(self.bytes >= 0, "files: expected a size of 0 bytes or more", got=self.bytes)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelEntry:
    """One ONNX model of the bundle.

    ``graph`` is its ONNX file and ``data`` the files of its external data, in the bundle. ``parameters`` counts the
    weights that one step multiplies with, ``weight_bytes`` their bytes; ``conversion`` names the exact conversion that
    made it. A browser checks the rest before it loads anything: ``largest_tensor_bytes`` (of one weight) and ``half``
    (true with any float16 tensor), which a GPU may not support, and ``operators``, those that are not ONNX's own, for
    which it may have no kernel. Older bundles list no operators.
    """

    name: str
    base_model: str
    license: str
    graph: str
    precision: str
    parameters: int
    weight_bytes: int
    conversion: str
    data: tuple[str, ...]
    largest_tensor_bytes: int
    half: bool
    operators: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("parameters", "weight_bytes", "largest_tensor_bytes"):
            count = getattr(self, name)
            require(count >= 0, f"{name}: expected 0 or more", got=count)


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationEntry:
    """The prompts that ranked the draft vocabulary, and its coverage on other prompts, which scored it.

    ``coverage`` is a share of tokens, 0..1, with its confidence interval. ``ranked_by`` names the counts' sources;
    ``ranking_prompts`` and ``ranking_tokens`` are of the first source, which ranks before the others.
    """

    prompts: str
    ranking_prompts: int
    scoring_prompts: int
    ranking_tokens: int
    scoring_tokens: int
    coverage: float
    coverage_low: float
    coverage_high: float
    ranked_by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("ranking_prompts", "scoring_prompts", "ranking_tokens", "scoring_tokens"):
            count = getattr(self, name)
            require(count >= 0, f"calibration: {name}: expected 0 or more", got=count)
        for name in ("coverage", "coverage_low", "coverage_high"):
            share = getattr(self, name)
            require(0 <= share <= 1, f"calibration: {name}: expected a share in 0..1", got=share)


@dataclass(frozen=True, kw_only=True, slots=True)
class DivergenceEntry:
    """The change that a model's precision makes to its predictions, measured at ``positions`` tokens of answers.

    ``kl_per_token`` is the mean of KL(float ‖ packed) in nats; ``greedy_agreement`` is the share of positions where
    both choose the same token.
    """

    precision: str
    kl_per_token: float
    greedy_agreement: float
    positions: int


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleManifest:
    """The contents of a bundle. Paths are relative POSIX paths inside the bundle; token ids are the target's.

    ``provider`` is the execution provider that the bundle was planned for. ``divergence`` is the target's distance from
    fp32, ``drafter_divergence`` the drafter's, None where it was not measured. ``context_length`` is the target's,
    ``drafter_context_length`` the drafter's own, None in older bundles.
    """

    schema_version: int
    target: ModelEntry
    drafter: ModelEntry
    index_map: str
    target_vocab_size: int
    context_length: int
    end_token_ids: tuple[int, ...]
    tokenizer_fingerprint: str
    calibration: CalibrationEntry
    plan: DecodingPlan
    files: dict[str, FileEntry]
    provider: str = "cpu"
    divergence: DivergenceEntry | None = None
    drafter_divergence: DivergenceEntry | None = None
    drafter_context_length: int | None = None

    def __post_init__(self) -> None:
        require_schema(self.schema_version)
        require(
            1 <= self.plan.draft_vocab_size <= self.target_vocab_size,
            f"draft_vocab_size: expected 1..{self.target_vocab_size}",
            got=self.plan.draft_vocab_size,
            remedy="export the bundle again",
        )
        tokens = self.target_vocab_size
        require(tokens <= _MOST_TOKENS, f"target_vocab_size: expected 1..{_MOST_TOKENS}", got=tokens)
        for length in (self.context_length, self.drafter_context_length):
            right = length is None or 1 <= length <= _MOST_CONTEXT
            require(right, f"context lengths: expected 1..{_MOST_CONTEXT}", got=length)
        self._check_ends()
        require(len(self.files) <= _MOST_FILES, f"files: expected at most {_MOST_FILES}", got=len(self.files))
        models = (self.target, self.drafter)
        for name in (*self.files, *(name for model in models for name in (model.graph, *model.data)), self.index_map):
            _check_inside(name)

    def _check_ends(self) -> None:
        ends = self.end_token_ids
        require(len(ends) <= _MOST_ENDS, f"end_token_ids: expected at most {_MOST_ENDS}", got=len(ends))
        outside = next((each for each in ends if not 0 <= each < self.target_vocab_size), None)
        rule = f"end_token_ids: expected ids in 0..{self.target_vocab_size - 1}"
        require(outside is None, rule, got=outside, remedy="export the bundle again")


def require_schema(version: int) -> None:
    """Raise `EdgedraftError` for a manifest of any schema but the one that this version reads."""
    require(
        version == SCHEMA_VERSION,
        f"schema_version: this edgedraft reads {SCHEMA_VERSION}",
        got=version,
        remedy="export the bundle again or install a matching edgedraft",
    )


def _check_inside(name: str) -> None:
    """Raise `EdgedraftError` for a name that could lead outside the bundle, on Windows too."""
    path = PurePosixPath(name)
    plain = bool(name) and name == path.as_posix() and name.isprintable() and len(name) <= _LONGEST_NAME
    short = all(len(part.encode()) <= _LONGEST_PART for part in path.parts) if plain else False
    if not short or name == "." or path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
        raise EdgedraftError("files: expected a relative path inside the bundle", got=shown(name))
