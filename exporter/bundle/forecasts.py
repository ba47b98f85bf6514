"""Make the forecast that `edgedraft tune` reads: rounds of held-out answers, by draft length and by look-ups."""

from collections.abc import Sequence

import numpy as np

from edgedraft.calibration.answers.sampling import SampledAnswer
from edgedraft.exporter.planning.lookup import replay_lookup
from edgedraft.exporter.planning.replay import DRAFT_LENGTHS
from edgedraft.exporter.planning.scan import ReplayFunction
from edgedraft.runtime.base.arrays import CountArray
from edgedraft.runtime.core.forecast import AcceptanceForecast, LengthForecast, LookupForecast

LOOKUP_LENGTHS = (1, 2, 3, 4, 6, 8)


def acceptance_forecast(
    replayed: ReplayFunction, size: int, longest: int, answers: Sequence[SampledAnswer]
) -> AcceptanceForecast:
    """Replay drafts of 1..``longest`` tokens out of ``size``, and look-ups where the ``answers`` are at hand."""
    outcomes = [(length, replayed(size, length)) for length in DRAFT_LENGTHS[:longest]]
    lengths = [
        length_forecast(length, [each.rounds, each.full_rounds, each.accepted, each.evaluated])
        for length, each in outcomes
    ]
    return AcceptanceForecast(
        tokens=int(outcomes[0][1].tokens.sum()), lengths=tuple(lengths), lookups=_lookups(answers)
    )


def length_forecast(draft_length: int, counts: Sequence[CountArray]) -> LengthForecast:
    """Sum rounds, full rounds, accepted and evaluated drafts over answers."""
    rounds, full, accepted, evaluated = (float(np.sum(each)) for each in counts)
    # Expected values of drawn answers are rounded: a sum may exceed the one that it is a part of by a last digit.
    return LengthForecast(
        draft_length=draft_length,
        rounds=rounds,
        full_rounds=min(full, rounds),
        accepted=min(accepted, evaluated),
        evaluated=evaluated,
    )


def _lookups(answers: Sequence[SampledAnswer]) -> tuple[LookupForecast, ...]:
    if not any(len(entry.token_ids) > 1 for entry in answers):
        return ()
    replays = [replay_lookup(answers, length) for length in LOOKUP_LENGTHS]
    return tuple(
        LookupForecast(
            draft_length=each.draft_length,
            rounds=tuple(each.rounds.get(drafted, 0) for drafted in range(each.draft_length + 1)),
            accepted=each.accepted,
            evaluated=each.evaluated,
        )
        for each in replays
    )
