"""Method balanced from a data set to its files, under the reference tool's own options and defaults."""

from dataclasses import dataclass, replace
from pathlib import Path

from edgedraft.calibration.text.count_result import CountResult
from edgedraft.exporter.methods.balanced import BalancedResult, BalancedSettings, balance
from edgedraft.exporter.methods.balanced_counting import CountingLimits, count_dataset
from edgedraft.exporter.methods.balanced_report import require_reports_folder, write_reports
from edgedraft.exporter.methods.eagle_config import EagleConfig, read_eagle_config, rewrite_draft_vocab_size
from edgedraft.exporter.methods.flops import EagleShape
from edgedraft.exporter.methods.utility import UtilitySettings
from edgedraft.exporter.models.tokenization import tokenizer_of
from edgedraft.exporter.planning.search import SearchSettings
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require
from edgedraft.runtime.text.codec import TextCodec


@dataclass(frozen=True, kw_only=True, slots=True)
class BalancedOptions:
    """The reference tool's options, under their own names (with - for _) and with its defaults.

    Without ``dataset_path`` and ``tokenizer_path`` there is no data set, and a pair's answers are balanced instead.
    ``chat_template`` only checks the family of the tokenizer's own template, which is always used. ``sample_size``
    takes the first samples. ``config_path`` gives the drafter's shape and gets the chosen size; without it the shape is
    the paper's (`assumed_shape`), and so are single sizes that it lacks. ``target_vocab_size`` goes before the
    configuration's, that before the tokenizer's. ``num_proc`` processes count a large file together.
    """

    dataset_path: str | None = None
    tokenizer_path: str | None = None
    is_preformatted: bool = False
    chat_template: str | None = None
    coverage_weight: float = 0.5
    min_coverage: float = 0.0
    min_vocab_size: int = 50
    max_vocab_size: int = 50000
    target_vocab_size: int | None = None
    n_calls: int = 30
    sample_size: int | None = None
    max_length: int = 131072
    config_path: Path | None = None
    output_dir: Path = Path("cache/vocab_optimization")
    random_state: int = 42
    num_proc: int = 8

    def __post_init__(self) -> None:
        both = (self.dataset_path is None) == (self.tokenizer_path is None)
        require(both, "--method balanced: expected --dataset-path and --tokenizer-path together", got="one of them")
        require(self.n_calls >= 1, "n-calls: expected 1 or more", got=self.n_calls)
        require(self.num_proc >= 1, "num-proc: expected 1 or more", got=self.num_proc)
        require(self.random_state >= 0, "random-state: expected 0 or more", got=self.random_state)
        enough = self.target_vocab_size is None or self.target_vocab_size >= 1
        require(enough, "target-vocab-size: expected 1 or more", got=self.target_vocab_size)
        require_family(self.chat_template)
        _ = self.settings, self.limits  # they check their own

    @property
    def settings(self) -> BalancedSettings:
        """Settings of the utility and its search."""
        utility = UtilitySettings(
            coverage_weight=self.coverage_weight,
            min_coverage=self.min_coverage,
            min_size=self.min_vocab_size,
            max_size=self.max_vocab_size,
        )
        return BalancedSettings(utility=utility, search=SearchSettings(trials=self.n_calls, seed=self.random_state))

    @property
    def limits(self) -> CountingLimits:
        """Limits of counting the data set."""
        return CountingLimits(
            sample_size=self.sample_size, max_length=self.max_length, is_preformatted=self.is_preformatted
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class BalancedRun:
    """A result with all it came from. ``shape_assumed``: no configuration gave the drafter's shape.

    ``missing`` are the keys that the configuration lacks, ``previous_size`` is the ``draft_vocab_size`` that it had.
    """

    result: BalancedResult
    tally: CountResult
    shape: EagleShape
    shape_assumed: bool
    previous_size: int | None
    files: tuple[Path, ...]
    missing: tuple[str, ...] = ()


def assumed_shape(vocab_size: int) -> EagleShape:
    """Return the paper's drafter, EAGLE-3 for Llama-3.1-8B, with another target vocabulary."""
    return EagleShape(hidden=4096, intermediate=14336, heads=32, kv_heads=8, target_vocab_size=vocab_size)


def run_balanced(options: BalancedOptions, cache: Path, progress: Progress = silent) -> BalancedRun:
    """Count, choose, write the reports into ``output_dir``, and last the size into the configuration.

    ``cache`` keeps tokenizers that were downloaded or taken out of a model.
    """
    require(options.dataset_path is not None, "--method balanced: expected --dataset-path")
    assert options.dataset_path is not None and options.tokenizer_path is not None
    require_reports_folder(options.output_dir)
    config = None if options.config_path is None else read_eagle_config(options.config_path)
    tokens = tokenizer_of(options.tokenizer_path, cache, progress)
    require_template(tokens.codec, options.tokenizer_path, options.chat_template)
    vocab_size = _target_vocab_size(options, config) or tokens.vocab_size
    tokens = replace(tokens, vocab_size=vocab_size)
    tally = count_dataset(options.dataset_path, tokens, options.limits, progress, processes=options.num_proc)
    shape = assumed_shape(vocab_size) if config is None else config.shape(vocab_size)
    result = balance(tally.counts, shape.cost, options.settings, progress)
    files = write_reports(result, options.output_dir)
    if options.config_path is not None:
        rewrite_draft_vocab_size(options.config_path, result.chosen.size)
    return BalancedRun(
        result=result,
        tally=tally,
        shape=shape,
        shape_assumed=config is None,
        missing=() if config is None else config.missing,
        previous_size=None if config is None else config.draft_vocab_size,
        files=files,
    )


def _target_vocab_size(options: BalancedOptions, config: EagleConfig | None) -> int | None:
    if options.target_vocab_size is not None or config is None:
        return options.target_vocab_size
    return config.target_vocab_size


_MARKERS = {
    "llama3": ("<|start_header_id|>", "<|eot_id|>"),
    "llama4": ("<|header_start|>", "<|eot|>"),
    "phi4": ("<|im_start|>", "<|im_sep|>"),
    "qwen": ("<|im_start|>", "<|im_end|>"),
    "phi3": ("<|assistant|>", "<|end|>"),
    "gemma": ("<start_of_turn>model", "<end_of_turn>"),
}
_DEEPSEEK = ("<｜Assistant｜>", "Assistant:")

FAMILIES = ("llama3", "llama4", "qwen", "deepseek", "phi3", "phi4", "gemma")
"""The names that may be given."""


def family_of(codec: TextCodec) -> str | None:
    """Return the family whose markers stand in a conversation as the template writes it; None where none does."""
    turns = [{"role": "user", "content": "ask"}, {"role": "assistant", "content": "answer"}]
    text = codec.render_chat(turns, answer=False)
    for name, markers in _MARKERS.items():
        if all(marker in text for marker in markers):
            return name
    return "deepseek" if any(marker in text for marker in _DEEPSEEK) else None


def require_family(family: str | None) -> None:
    """Raise `EdgedraftError` at a name that is not of `FAMILIES`; None names no family."""
    known = family is None or family in FAMILIES
    require(known, f"chat-template: expected one of {', '.join(FAMILIES)}", got=family)


def require_template(codec: TextCodec, where: str, family: str | None) -> None:
    """Raise `EdgedraftError` unless the tokenizer at ``where`` has a chat template, of ``family`` where that is named.

    The template itself is always the tokenizer's own: a family's name can be checked, but never takes its place.
    """
    remedy = "give the folder of the instruction-tuned model"
    require(codec.has_template, f"{where}: expected a tokenizer with a chat template", got="none", remedy=remedy)
    own = None if family is None else family_of(codec)
    rule = f"{where}: chat-template: expected the family of the tokenizer's own, {own or 'none of the known ones'}"
    require(own == family, rule, got=family, remedy="leave chat-template out: the tokenizer's own template is used")
