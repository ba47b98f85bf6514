"""plan --method mbsu: VocabTrim's modelled memory-bound speed-up over the pair's replayed answers."""

import argparse

from edgedraft.console import Console

SHOWN_OPTIONS = 8


def run(options: argparse.Namespace, console: Console) -> None:
    """Maximise the modelled speed-up; costs are parameters, and verification is taken as free."""
    from edgedraft.commands._options import answer_settings, cache_of, open_pair, prompt_set
    from edgedraft.exporter.methods.mbsu import ParameterCosts, maximise_mbsu
    from edgedraft.exporter.pipeline.calibrating import calibrate_pair
    from edgedraft.exporter.planning.planner import candidate_sizes
    from edgedraft.exporter.planning.ranking import token_order
    from edgedraft.exporter.planning.scan import replay_function

    cache = cache_of(options)
    pair = open_pair(options, cache, console.progress)
    calibration = calibrate_pair(pair, prompt_set(options), cache, console.progress, answer_settings(options))
    costs = ParameterCosts(drafter=lambda size: pair.trimmed_size(size).parameters, target=pair.target_size.parameters)
    replayed = replay_function(calibration.trace, token_order(pair, calibration))
    sizes = [options.vocab_size] if options.vocab_size else list(candidate_sizes(pair.vocab_size))
    found = maximise_mbsu(replayed, costs, sizes, *([(options.draft_length,)] if options.draft_length else []))
    rows = [
        (
            f"{each.draft_vocab_size:,}",
            str(each.draft_length),
            f"{each.cost_ratio:.4f}",
            f"{each.block_efficiency:.3f}",
            f"{each.mbsu:.3f}",
        )
        for each in found.options[:SHOWN_OPTIONS]
    ]
    console.table(("draft vocabulary", "draft length", "c, parameters", "τ", "modelled MBSU"), rows)
    best = found.best
    console.say(
        f"MBSU: {best.draft_vocab_size:,} draft tokens, draft length {best.draft_length}: {best.mbsu:.3f}. "
        "The model takes verification as free: --method device knows what it costs."
    )
    size, length = best.draft_vocab_size, best.draft_length
    console.say(f"To export it: edgedraft export FOLDER --vocab-size {size} --draft-length {length}")
    console.result(found)
