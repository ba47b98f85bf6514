"""Choosing the tokens that a drafter's folder keeps: by a bundle's order, a calibration's counts, or a map file."""

from pathlib import Path

from edgedraft.calibration.saved import load_calibration
from edgedraft.exporter.bundle.retrim import bundle_order
from edgedraft.exporter.graph.head import round_to_tile
from edgedraft.exporter.models.cache import cache_folder
from edgedraft.exporter.models.convert import end_token_ids
from edgedraft.exporter.models.tokenization import tokenizer_of
from edgedraft.exporter.planning.ranking import index_map, rank_tokens
from edgedraft.exporter.vocab.kinds import KINDS
from edgedraft.exporter.vocab.order import vocab_order
from edgedraft.exporter.vocab.reading import DeclaredMap, read_vocab_map
from edgedraft.runtime.base.records import require
from edgedraft.runtime.base.tokenizer_files import tokenizer_fingerprint
from edgedraft.runtime.bundle.reading import read_bundle
from edgedraft.runtime.core.index_map import IndexMap


def kept_like(bundle_path: Path, folder: Path, size: int | None) -> IndexMap:
    """Return the first ``size`` tokens of the bundle's order (as many as the bundle keeps when None)."""
    bundle = read_bundle(bundle_path, verify_hashes=False)
    _require_tokenizer(folder, bundle.manifest.tokenizer_fingerprint, f"--like {bundle_path}")
    if size is None or size == bundle.index_map.draft_vocab_size:
        return bundle.index_map
    return bundle_order(bundle).kept(round_to_tile(size, bundle.manifest.target_vocab_size))


def kept_by_calibration(calibration: Path, folder: Path, size: int) -> IndexMap:
    """Return the ``size`` tokens that a calibration or a counts file ranks first, the end of turn among them."""
    saved = load_calibration(calibration)
    for counts in saved.ranking.values():
        _require_tokenizer(folder, counts.provenance.tokenizer_fingerprint, f"--calibration {calibration}")
    ends = saved.end_token_ids or _end_token_ids(folder)
    order = rank_tokens(list(saved.ranking.values()), ends)
    return index_map(order, round_to_tile(size, len(order)))


def kept_in_file(file: Path, declared: DeclaredMap, folder: Path, size: int | None) -> IndexMap:
    """Return the tokens of a map file, or their first ``size`` where the file lists the most frequent first."""
    assert declared.vocab_size is not None
    vocab_map = read_vocab_map(file, declared)
    order, held = vocab_order(vocab_map, declared.vocab_size, _end_token_ids(folder)), vocab_map.entries
    size, remedy = size or held, "leave out --vocab-size"
    require(size <= held, f"--vocab {file}: holds {held} tokens", got=size, remedy=remedy)
    rule = f"--vocab {file}: its {held} tokens have no order to cut them by"
    require(size == held or KINDS[vocab_map.kind].by_frequency, rule, remedy=remedy)
    return index_map(order, size)


def _end_token_ids(folder: Path) -> tuple[int, ...]:
    """Return the ids that end a turn, of a folder with or without onnxruntime-genai's settings."""
    if (folder / "genai_config.json").is_file():
        return end_token_ids(folder)
    return tokenizer_of(str(folder), cache_folder()).end_token_ids


def _require_tokenizer(folder: Path, expected: str, what: str) -> None:
    """Refuse an order whose ids do not mean the tokens of the drafter."""
    own = tokenizer_fingerprint(folder / "tokenizer.json")
    rule = f"{what}: made for the tokenizer {expected[:12]}"
    require(own == expected, rule, got=f"{own[:12]} in {folder}", remedy="use one made for this drafter's tokenizer")
