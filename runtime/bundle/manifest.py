"""BundleManifest: the contents of a bundle, as written in its edgedraft.json."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from edgedraft.runtime.base.errors import EdgedraftError, shown
from edgedraft.runtime.base.records import require
from edgedraft.runtime.bundle.head_rows_file import HeadRowsEntry
from edgedraft.runtime.core.forecast import AcceptanceForecast
from edgedraft.runtime.core.plan import DecodingPlan

SCHEMA_VERSION = 5
READ_VERSIONS = (4, 5)
"""Schema 4 knows independent drafters alone; such a manifest is one of schema 5 without a `LayerEntry`."""
_MOST_FILES, _LONGEST_NAME, _LONGEST_PART = 1024, 1024, 255
_MOST_TOKENS, _MOST_CONTEXT, _MOST_ENDS = 2**24, 2**28, 1024
_MOST_LAYERS, _MOST_WIDTH = 1024, 2**22

MANIFEST_NAME = "edgedraft.json"
ODD_TOKEN_TABLE = "GatherBlockQuantized/odd"
"""Listed among a model's operators when its packed token table has rows of an odd number of blocks.

WebGPU's kernel refuses such tables.
"""
ROPE_SWITCH_AT = "RotaryTables/"
"""Begins an entry among a model's operators where it has two rotary tables; the longest text of the first follows.

A page, which keeps to the first table, ends its context there.
"""

INDEPENDENT, EAGLE, EAGLE3, MTP = "independent", "eagle", "eagle3", "mtp"
DRAFTER_KINDS = (INDEPENDENT, EAGLE, EAGLE3, MTP)
"""A model that decodes by itself, or one layer that reads its target's states: EAGLE-1 and 2, EAGLE-3, an MTP head."""
TABLE, HEAD = "table", "head"
"""Parts that a layer may borrow from its target: the token embedding and the LM head."""


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
    which it may have no kernel. Older bundles list no operators. ``state_bytes`` is the size of one copy of all
    recurrent states, 0 for a model without; pages keep none.
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
    state_bytes: int = 0

    def __post_init__(self) -> None:
        for name in ("parameters", "weight_bytes", "largest_tensor_bytes", "state_bytes"):
            count = getattr(self, name)
            require(count >= 0, f"{name}: expected 0 or more", got=count)


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerEntry:
    """The way in which a drafter that is a layer on its target reads the target's states.

    The states that enter ``tapped_layers`` make a row of features, ``feature_width`` numbers; the number of layers
    stands for the state before the final norm. Without tapped layers it is the state after the final norm. ``fusing``
    is the ONNX file that makes the layer's states from features; None where the layer reads them itself. ``borrowed``
    names the parts that are the target's (`TABLE`, `HEAD`), and ``copied_bytes`` the bytes of a borrowed token
    embedding that had to be stored a second time.
    """

    tapped_layers: tuple[int, ...]
    feature_width: int
    fusing: str | None
    borrowed: tuple[str, ...]
    copied_bytes: int = 0

    def __post_init__(self) -> None:
        right = all(0 <= layer < _MOST_LAYERS for layer in self.tapped_layers)
        require(right, f"tapped_layers: expected 0..{_MOST_LAYERS - 1}", got=self.tapped_layers)
        width = self.feature_width
        require(1 <= width <= _MOST_WIDTH, f"feature_width: expected 1..{_MOST_WIDTH}", got=width)
        require(self.copied_bytes >= 0, "copied_bytes: expected 0 or more", got=self.copied_bytes)


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
    ``drafter_context_length`` the drafter's own, None in older bundles. ``layer`` describes a drafter of any kind but
    `INDEPENDENT`. ``forecast`` is for `edgedraft tune`; older bundles have none. ``head_rows`` is the drafter's full
    head, for rows from the conversation; None in a bundle without them.
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
    drafter_kind: str = INDEPENDENT
    layer: LayerEntry | None = None
    forecast: AcceptanceForecast | None = None
    head_rows: HeadRowsEntry | None = None

    def __post_init__(self) -> None:
        require(
            self.schema_version == SCHEMA_VERSION, f"schema_version: expected {SCHEMA_VERSION}", got=self.schema_version
        )
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
        kind, remedy = self.drafter_kind, "export the bundle again or install a matching edgedraft"
        known = f"drafter_kind: this edgedraft runs {', '.join(DRAFTER_KINDS)}"
        require(kind in DRAFTER_KINDS, known, got=kind, remedy=remedy)
        fits = (self.layer is None) == (kind == INDEPENDENT)
        require(fits, f"layer: expected what an {kind} drafter has", got=self.layer, remedy=remedy)
        self._check_head_rows()
        require(len(self.files) <= _MOST_FILES, f"files: expected at most {_MOST_FILES}", got=len(self.files))
        for name in (*self.files, *self.named_files):
            _check_inside(name)

    @property
    def graphs(self) -> dict[str, tuple[str, ...]]:
        """Return the bundle's graphs, each with the data files that it may read."""
        found = {model.graph: model.data for model in (self.target, self.drafter)}
        if self.layer is not None and self.layer.fusing is not None:
            found[self.layer.fusing] = self.drafter.data
        return found

    @property
    def recurrent(self) -> str | None:
        """Return the name of the first model with recurrent states; None where neither has any."""
        return next((model.name for model in (self.target, self.drafter) if model.state_bytes), None)

    @property
    def named_files(self) -> tuple[str, ...]:
        """Return the files that a graph is read from, the index map's, and the full head's."""
        head = () if self.head_rows is None else (self.head_rows.file,)
        return (*self.graphs, *(name for data in self.graphs.values() for name in data), self.index_map, *head)

    def _check_head_rows(self) -> None:
        head, remedy = self.head_rows, "export the bundle again"
        rows = self.plan.conversation_rows
        fits = head is not None or rows == 0
        require(fits, "plan: conversation_rows: expected 0 in a bundle without head_rows", got=rows, remedy=remedy)
        if head is None:
            return
        alone = self.drafter_kind == INDEPENDENT
        require(alone, f"head_rows: expected an {INDEPENDENT} drafter", got=self.drafter_kind, remedy=remedy)
        listed = self.plan.draft_vocab_size
        rule = f"head_rows: rows: expected the {listed} of the draft vocabulary or more"
        require(head.rows >= listed, rule, got=head.rows, remedy=remedy)

    def _check_ends(self) -> None:
        ends = self.end_token_ids
        require(len(ends) <= _MOST_ENDS, f"end_token_ids: expected at most {_MOST_ENDS}", got=len(ends))
        outside = next((each for each in ends if not 0 <= each < self.target_vocab_size), None)
        rule = f"end_token_ids: expected ids in 0..{self.target_vocab_size - 1}"
        require(outside is None, rule, got=outside, remedy="export the bundle again")


def require_schema(version: int) -> None:
    """Raise `EdgedraftError` for a manifest of a schema that this version does not read."""
    require(
        version in READ_VERSIONS,
        f"schema_version: this edgedraft reads {' and '.join(map(str, READ_VERSIONS))}",
        got=version,
        remedy="export the bundle again or install a matching edgedraft",
    )


def migrated(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest's parsed JSON as one of `SCHEMA_VERSION`.

    Raises `EdgedraftError` for a schema that is not read; first of all checks, because it may hold keys unknown here.
    """
    version = data.get("schema_version")
    if not isinstance(version, int):
        return dict(data)  # its reader says what is wrong
    require_schema(version)
    return {**data, "schema_version": SCHEMA_VERSION}


def _check_inside(name: str) -> None:
    """Raise `EdgedraftError` for a name that could lead outside the bundle, on Windows too."""
    path = PurePosixPath(name)
    plain = bool(name) and name == path.as_posix() and name.isprintable() and len(name) <= _LONGEST_NAME
    short = all(len(part.encode()) <= _LONGEST_PART for part in path.parts) if plain else False
    if not short or name == "." or path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
        raise EdgedraftError("files: expected a relative path inside the bundle", got=shown(name))
