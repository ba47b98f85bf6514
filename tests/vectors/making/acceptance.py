"""Make acceptance.json: greedy choices, and drafts that are kept or replaced, with exact fractions."""

import math
from fractions import Fraction
from itertools import accumulate

ROWS = {
    "the best is in the middle": [0.5, -1.25, 3.0, 1.75],
    "equal logits: the smaller id": [1.0, 2.5, -0.5, 2.5],
    "all are below zero": [-3.0, -2.0, -7.5, -2.25],
    "a token that cannot be": [0.75, "-inf", 0.25],
}
REFUSED = {"not a number": ["nan", "-inf"], "infinite": ["inf", "-inf"], "no token can be": ["-inf", "-inf"]}
PREFIXES = [("abc", "abcd"), ("abc", "abdc"), ("abc", "xbc"), ("", "a"), ("abcd", "ab"), ("aab", "aba")]

# Shares in sixty-fourths: sums, differences and quotients below are then exact in binary floating point.
DISTRIBUTIONS = {
    "flat": [16, 16, 16, 16],
    "steep": [32, 16, 8, 8],
    "turned": [8, 8, 32, 16],
    "without 1": [32, 0, 16, 16],
    "without 0": [0, 16, 32, 16],
    "two tokens": [0, 32, 0, 32],
}
PAIRS = [("steep", "flat"), ("turned", "flat"), ("flat", "without 1"), ("without 0", "turned"), ("steep", "two tokens")]

# Each uniform stands on the edge of what it decides: a hair less keeps the draft or draws the earlier token.
ROUNDS = [
    ("no draft", [], [], ["steep"]),
    ("one draft", [2], ["flat"], ["steep", "turned"]),
    ("two drafts", [3, 0], ["flat", "without 1"], ["steep", "flat", "turned"]),
    ("a draft that was looked up", [1], [None], ["steep", "flat"]),
    ("looked up, then drawn", [0, 3], [None, "two tokens"], ["without 1", "steep", "without 0"]),
]
FINAL_EDGE = 1
HAIR = Fraction(1, 2**30)


def shares(name: str) -> list[Fraction]:
    """Return a named distribution."""
    return [Fraction(share, 64) for share in DISTRIBUTIONS[name]]


def certain(token_id: int) -> list[Fraction]:
    """Return the distribution of a draft that was looked up."""
    return [Fraction(int(other == token_id)) for other in range(4)]


def edges(by_id: list[Fraction]) -> list[Fraction]:
    """Return where one token's part of 0..1 ends and the next one's begins."""
    return list(accumulate(share for share in by_id if share))[:-1]


def keep(target: Fraction, drafter: Fraction) -> Fraction:
    """Return min(1, p/q); 1 for a token that the drafter never draws."""
    return min(Fraction(1), target / drafter) if drafter else Fraction(1)


def residual(target: list[Fraction], drafter: list[Fraction]) -> list[Fraction]:
    """Return norm((p - q)+)."""
    rest = [max(p - q, Fraction(0)) for p, q in zip(target, drafter, strict=True)]
    return [share / sum(rest) for share in rest]


def drawn(by_id: list[Fraction], uniform: Fraction) -> int:
    """Return the token whose part of 0..1 holds ``uniform``."""
    ends = accumulate(by_id)
    return next(token_id for token_id, end in enumerate(ends) if uniform < end)


def committed(draft: list[int], drafter: list, target: list, uniforms: list[Fraction]) -> list[int]:
    """Run one round on a script of uniforms; zeros follow where it needs more."""
    script = iter([*uniforms, *[Fraction(0)] * 4])
    for place, token_id in enumerate(draft):
        if next(script) >= keep(target[place][token_id], drafter[place][token_id]):
            return [*draft[:place], drawn(residual(target[place], drafter[place]), next(script))]
    return [*draft, drawn(target[len(draft)], next(script))]


def round_case(name: str, draft: list[int], by_drafter: list, by_target: list[str]) -> dict:
    """Return one round with its uniforms, what it commits just below their edges, and with each just above."""
    drafter = [
        certain(token_id) if source is None else shares(source)
        for token_id, source in zip(draft, by_drafter, strict=True)
    ]
    target = [shares(source) for source in by_target]
    uniforms = [keep(target[place][token_id], drafter[place][token_id]) for place, token_id in enumerate(draft)]
    uniforms.append(edges(target[-1])[FINAL_EDGE])
    assert all(0 < uniform < 1 for uniform in uniforms), name
    below = [uniform - HAIR for uniform in uniforms]
    raised = [[*below[:i], uniforms[i] + HAIR, *below[i + 1 :]] for i in range(len(uniforms))]
    return {
        "name": name,
        "draft": draft,
        "by_drafter": by_drafter,
        "by_target": by_target,
        "uniforms": [float(uniform) for uniform in uniforms],
        "committed": committed(draft, drafter, target, below),
        "raised": [committed(draft, drafter, target, each) for each in raised],
    }


def row_case(name: str, logits: list) -> dict:
    """Return one row of logits with its best token and every token's log-probability."""
    scores = [float(logit) for logit in logits]
    total = math.fsum(math.exp(score) for score in scores)
    return {
        "name": name,
        "logits": logits,
        "choice": min(range(len(scores)), key=lambda token_id: (-scores[token_id], token_id)),
        "log_probabilities": [
            logit if isinstance(logit, str) else score - math.log(total)
            for logit, score in zip(logits, scores, strict=True)
        ],
    }


def make() -> dict:
    """Return the whole file."""
    remedy = "check the bundle's files or export it again"
    return {
        "about": "Drafts kept and replaced. An edge is tested a hair (2^-30) below and above.",
        "rows": [row_case(name, logits) for name, logits in ROWS.items()],
        "refused_rows": [
            {
                "name": name,
                "logits": logits,
                "by": "the target",
                "message": f"logits of the target must be finite numbers, got NaN or infinity - {remedy}",
            }
            for name, logits in REFUSED.items()
        ],
        "prefixes": [
            {
                "draft": draft,
                "target": target,
                "accepted": next(size for size in range(len(draft), -1, -1) if target.startswith(draft[:size])),
            }
            for draft, target in PREFIXES
        ],
        "distributions": [
            {
                "name": name,
                "shares": [float(share) for share in shares(name)],
                "edges": [float(edge) for edge in edges(shares(name))],
            }
            for name in DISTRIBUTIONS
        ],
        "pairs": [
            {
                "by_target": target,
                "by_drafter": drafter,
                "keep": [float(keep(p, q)) for p, q in zip(shares(target), shares(drafter), strict=True)],
                "residual": [float(share) for share in residual(shares(target), shares(drafter))],
            }
            for target, drafter in PAIRS
        ],
        "rounds": [round_case(*each) for each in ROUNDS],
    }
