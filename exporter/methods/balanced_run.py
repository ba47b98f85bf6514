"""Method balanced from a data set to its files, under the reference tool's own options and defaults."""

from dataclasses import dataclass, replace
from pathlib import Path

from edgedraft.calibration.text.count_result import CountResult
from edgedraft.exporter.methods.balanced import BalancedResult, BalancedSettings, balance
from edgedraft.exporter.methods.balanced_counting import CountingLimits, count_dataset
from edgedraft.exporter.methods.balanced_report import require_reports_folder, write_reports
from edgedraft.exporter.methods.chat_families import require_family, require_template
from edgedraft.exporter.methods.eagle_config import EagleConfig, read_eagle_config, rewrite_draft_vocab_size
from edgedraft.exporter.methods.flops import EagleShape
from edgedraft.exporter.methods.utility import UtilitySettings
from edgedraft.exporter.models.tokenization import tokenizer_of
from edgedraft.exporter.planning.search import SearchSettings
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require


@dataclass(frozen=True, kw_only=True, slots=True)
class BalancedOptions:
    """The reference tool's options, under their own names (with - for _) and with its defaults.

    Without ``dataset_path`` and ``tokenizer_path`` there is no data set, and a pair's answers are balanced instead.
    ``chat_template`` only checks the family of the tokenizer's own template, which is always used. ``sample_size``
    takes the first samples. ``config_path`` gives the drafter's shape and gets the chosen size; without it the shape is
    the paper's (`assumed_shape`). ``target_vocab_size`` goes before the configuration's, that before the tokenizer's.
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

    def __post_init__(self) -> None:
        both = (self.dataset_path is None) == (self.tokenizer_path is None)
        require(both, "--method balanced: expected --dataset-path and --tokenizer-path together", got="one of them")
        require(self.n_calls >= 1, "n-calls: expected 1 or more", got=self.n_calls)
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

    ``previous_size`` is the ``draft_vocab_size`` that the configuration had before.
    """

    result: BalancedResult
    tally: CountResult
    shape: EagleShape
    shape_assumed: bool
    previous_size: int | None
    files: tuple[Path, ...]


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
    tally = count_dataset(options.dataset_path, replace(tokens, vocab_size=vocab_size), options.limits, progress)
    shape = assumed_shape(vocab_size) if config is None else replace(config.shape, target_vocab_size=vocab_size)
    result = balance(tally.counts, shape.cost, options.settings, progress)
    files = write_reports(result, options.output_dir)
    if options.config_path is not None:
        rewrite_draft_vocab_size(options.config_path, result.chosen.size)
    return BalancedRun(
        result=result,
        tally=tally,
        shape=shape,
        shape_assumed=config is None,
        previous_size=None if config is None else config.draft_vocab_size,
        files=files,
    )


def _target_vocab_size(options: BalancedOptions, config: EagleConfig | None) -> int | None:
    if options.target_vocab_size is not None or config is None:
        return options.target_vocab_size
    return config.shape.target_vocab_size
