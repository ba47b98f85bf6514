"""Make statistics.json: counts of rounds, block efficiency, MBSU and quartiles, with exact fractions."""

import math
from fractions import Fraction

# tokens committed, drafts drafted, drafts accepted
ANSWERS = {
    "drafts kept, refused and not made": [(4, 3, 3), (1, 3, 0), (3, 5, 2), (1, 0, 0)],
    "cut after a kept draft": [(2, 4, 1), (2, 4, 2)],
    "plain steps": [(1, 0, 0), (1, 0, 0), (1, 0, 0)],
    "nothing": [],
}
MBSU = [(2.5, 0.1, 3), (3.2, 0.25, 4), (1.4, 0.05, 1)]
SPREADS = {
    "seconds": [0.7, 0.2, 1.9, 0.4, 0.55, 1.1, 0.3, 0.9],
    "whole numbers": [12, 3, 7, 5],
    "equal ones": [2.5, 2.5, 4.5],
}


def evaluated(tokens: int, drafted: int, accepted: int) -> int:
    """Return the drafts that the target looked at: those accepted, and the first refused one."""
    return accepted if accepted == drafted or tokens == accepted else accepted + 1


def counts(rounds: list[tuple[int, int, int]]) -> dict:
    """Return the sums over rounds and the two rates that follow."""
    looked_at, kept = sum(evaluated(*each) for each in rounds), sum(accepted for _, _, accepted in rounds)
    tokens = sum(tokens for tokens, _, _ in rounds)
    return {
        "rounds": len(rounds),
        "tokens": tokens,
        "draft_tokens_proposed": sum(drafted for _, drafted, _ in rounds),
        "draft_tokens_evaluated": looked_at,
        "draft_tokens_accepted": kept,
        "acceptance_rate": kept / looked_at if looked_at else 0,
        "block_efficiency": tokens / len(rounds) if rounds else 0,
    }


def quantile(values: list[float], share: Fraction) -> float:
    """Return the value at ``share`` of the sorted values, between two of them by a straight line."""
    ordered, place = sorted(map(Fraction, values)), share * (len(values) - 1)
    low, part = math.floor(place), place - math.floor(place)
    return float(ordered[low] + part * (ordered[math.ceil(place)] - ordered[low]))


def spread(values: list[float]) -> dict[str, float]:
    """Return the median and the quartiles."""
    shares = {"low": Fraction(1, 4), "median": Fraction(1, 2), "high": Fraction(3, 4)}
    return {name: quantile(values, share) for name, share in shares.items()}


def speed_up(efficiency: float, cost_ratio: float, draft_length: int) -> float:
    """Return MBSU = τ / (c·γ + 1)."""
    return float(Fraction(efficiency) / (Fraction(cost_ratio) * draft_length + 1))


def make() -> dict:
    """Return the whole file."""
    return {
        "about": "What decoding achieved. Every beginning of a list of values has its own spread.",
        "answers": [
            {
                "name": name,
                "rounds": [
                    {"tokens": tokens, "drafted": drafted, "accepted": accepted} for tokens, drafted, accepted in rounds
                ],
                "counts": counts(rounds),
            }
            for name, rounds in ANSWERS.items()
        ],
        "together": [counts([each for rounds in ANSWERS.values() for each in rounds])],
        "mbsus": [
            {"block_efficiency": tau, "cost_ratio": cost, "draft_length": length, "mbsu": speed_up(tau, cost, length)}
            for tau, cost, length in MBSU
        ],
        "spreads": [
            {
                "name": name,
                "values": values,
                "beginnings": [spread(values[:count]) for count in range(1, len(values) + 1)],
            }
            for name, values in SPREADS.items()
        ],
    }
