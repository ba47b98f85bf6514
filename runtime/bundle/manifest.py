"""BundleManifest: everything a bundle promises, as written in its edgedraft.json."""

from dataclasses import dataclass
from pathlib import PurePosixPath

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.plan import DecodingPlan

SCHEMA_VERSION = 4
MANIFEST_NAME = "edgedraft.json"
ODD_TOKEN_TABLE = "GatherBlockQuantized/odd"
"""Among a model's operators: packed tokens are looked up in rows of an odd number of blocks, which WebGPU refuses."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FileEntry:
    """Size and SHA-256 of one file of the bundle."""

    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelEntry:
    """One ONNX model of the bundle.

    ``data`` are the files of its external data, in the bundle; ``largest_tensor_bytes`` is of its largest weight and
    ``half`` tells of a float16 tensor anywhere: a GPU may refuse either, which is asked before anything is loaded.
    ``operators`` are those outside of ONNX's own, for which a browser may have no kernel; bundles written before it was
    told name none.
    ``parameters`` counts the weights that one step multiplies with, ``weight_bytes`` their bytes; ``conversion`` names
    the exact conversion it came from.
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


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationEntry:
    """Where the draft vocabulary came from, and what it covers on prompts held out from choosing it.

    ``ranked_by`` names the sources of the counts that chose it; the ranking numbers are of the first, which leads.
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


@dataclass(frozen=True, kw_only=True, slots=True)
class DivergenceEntry:
    """What ``positions`` tokens of answers say of the target's precision.

    ``kl_per_token`` is the mean of KL(float ‖ packed) in nats; ``greedy_agreement`` the share of positions where both
    would choose the same token.
    """

    precision: str
    kl_per_token: float
    greedy_agreement: float
    positions: int


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleManifest:
    """The bundle's contract. Paths are relative POSIX paths inside the bundle; token ids are the target's.

    ``provider`` names what the bundle was planned and its graphs prepared for; ``divergence`` is how far the target
    strays from fp32, None where nobody measured it.
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

    def __post_init__(self) -> None:
        require_schema(self.schema_version)
        require(
            1 <= self.plan.draft_vocab_size <= self.target_vocab_size,
            f"draft_vocab_size: expected 1..{self.target_vocab_size}",
            got=self.plan.draft_vocab_size,
            remedy="export the bundle again",
        )
        models = (self.target, self.drafter)
        for name in (*self.files, *(name for model in models for name in (model.graph, *model.data)), self.index_map):
            _check_inside(name)


def require_schema(version: int) -> None:
    """Refuse manifests of another schema than this version reads."""
    require(
        version == SCHEMA_VERSION,
        f"schema_version: this edgedraft reads {SCHEMA_VERSION}",
        got=version,
        remedy="export the bundle again or install a matching edgedraft",
    )


def _check_inside(name: str) -> None:
    """Refuse names that could reach outside the bundle."""
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
        raise EdgedraftError("files: expected a relative path inside the bundle", got=repr(name))
