"""Make filters.json: temperature, top-k, top-p and min-p, by sorting and summing plain Python numbers."""

import math

ROWS = {
    "falling": [2.0, 1.0, 0.5, -1.0],
    "mixed": [-0.5, 1.5, 0.25, 2.25, -2.0],
    "equal tokens": [0.0, 1.0, 1.0, -0.75],
    "a token that cannot be": [1.25, "-inf", 0.5, -0.25],
}
HAIR = 1e-6
LOOSE = {"top_p": 1 + HAIR, "min_p": 1 - HAIR}
TIGHT = {"top_p": 1 - HAIR, "min_p": 1 + HAIR}


def probabilities(logits: list, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0) -> list[float]:
    """Return the distribution after the filters, in their order: temperature, top-k, top-p, min-p."""
    scores = [float(logit) for logit in logits]
    if temperature == 0:
        best = scores.index(max(scores))
        return [float(token_id == best) for token_id in range(len(scores))]
    weights = [math.exp(score / temperature) for score in scores]
    if 0 < top_k < len(weights):
        least = sorted(weights, reverse=True)[top_k - 1]
        weights = [weight if weight >= least else 0.0 for weight in weights]
    shares = normal(weights)
    kept, before = set(), 0.0
    for token_id in sorted(range(len(shares)), key=lambda token_id: (-shares[token_id], token_id)):
        if before < top_p:
            kept.add(token_id)
        before += shares[token_id]
    shares = [share if token_id in kept else 0.0 for token_id, share in enumerate(shares)]
    return normal([share if share >= min_p * max(shares) else 0.0 for share in shares])


def normal(weights: list[float]) -> list[float]:
    """Return the weights, scaled to the sum 1."""
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def top_p_edge(logits: list, count: int, **settings) -> float:
    """Return the probability of the ``count`` most likely tokens together."""
    return math.fsum(sorted(probabilities(logits, **settings), reverse=True)[:count])


def min_p_edge(logits: list, place: int, **settings) -> float:
    """Return the probability of the ``place``-th best token over that of the best."""
    ordered = sorted(probabilities(logits, **settings), reverse=True)
    return ordered[place - 1] / ordered[0]


def edge_case(name: str, row: str, edged: list[str], **settings) -> dict:
    """Return outcomes with all ``edged`` settings a hair looser than given, and with one of them a hair tighter."""
    logits = ROWS[row]
    loose = settings | {name: settings[name] * LOOSE[name] for name in edged}
    tight = {name: probabilities(logits, **loose | {name: settings[name] * TIGHT[name]}) for name in edged}
    kept = probabilities(logits, **loose)
    assert all(kept != each for each in tight.values()), name
    return {"name": name, "row": row, "settings": settings, "loose": kept, "tight": tight}


def edge_cases() -> list[dict]:
    """Return the cases whose settings stand on the edge of what they keep."""
    falling, mixed, equal = ROWS["falling"], ROWS["mixed"], ROWS["equal tokens"]
    warm = {"temperature": 1.6, "top_k": 3}
    warm_pair = top_p_edge(mixed, 2, **warm)
    cool_third = min_p_edge(falling, 3, temperature=0.6)
    both = {"temperature": 0.8, "top_k": 4}
    pair, third = top_p_edge(mixed, 2, **both), min_p_edge(mixed, 3, **both)
    return [
        edge_case("top-p: one token or two", "falling", ["top_p"], top_p=top_p_edge(falling, 1)),
        edge_case("top-p: three tokens or four", "falling", ["top_p"], top_p=top_p_edge(falling, 3)),
        edge_case("top-p: of equal tokens the smaller id stays", "equal tokens", ["top_p"], top_p=top_p_edge(equal, 1)),
        edge_case("min-p: the second stays or goes", "falling", ["min_p"], min_p=min_p_edge(falling, 2)),
        edge_case("min-p: the last stays or goes", "mixed", ["min_p"], min_p=min_p_edge(mixed, 5)),
        edge_case("top-p counts what temperature and top-k left", "mixed", ["top_p"], **warm, top_p=warm_pair),
        edge_case("min-p after the temperature", "falling", ["min_p"], temperature=0.6, min_p=cool_third),
        edge_case("all together", "mixed", ["top_p", "min_p"], **both, top_p=pair, min_p=third),
    ]


REFUSED = [
    ({"temperature": -0.5}, "temperature must be 0, or 0.0001 or more, got -0.5"),
    ({"temperature": "inf"}, "temperature must be 0, or 0.0001 or more, got inf"),
    ({"temperature": "nan"}, "temperature must be 0, or 0.0001 or more, got nan"),
    ({"top_k": -1}, "top_k must be 0 or more, got -1"),
    ({"top_p": 0}, "top_p must lie above 0 and up to 1, got 0"),
    ({"top_p": 1.5}, "top_p must lie above 0 and up to 1, got 1.5"),
    ({"min_p": -0.25}, "min_p must lie in 0..1, got -0.25"),
    ({"min_p": 1.25}, "min_p must lie in 0..1, got 1.25"),
    ({"repetition_penalty": 0}, "repetition_penalty must be above 0, got 0"),
    ({"repetition_penalty": -1.5}, "repetition_penalty must be above 0, got -1.5"),
    ({"logit_bias": {"3": "inf"}}, "logit_bias: token 3: expected a number or -inf, got inf"),
    ({"logit_bias": {"7": "nan"}}, "logit_bias: token 7: expected a number or -inf, got nan"),
]


def make() -> dict:
    """Return the whole file."""
    return {
        "about": "Filters on one row of logits. An edge is tested a hair (a millionth) below and above.",
        "rows": [
            {
                "name": name,
                "logits": logits,
                "by_temperature": [
                    {"temperature": temperature, "probabilities": probabilities(logits, temperature=temperature)}
                    for temperature in (1, 0, 0.5, 1.7)
                ],
                "by_top_k": [probabilities(logits, top_k=top_k) for top_k in range(len(logits) + 2)],
            }
            for name, logits in ROWS.items()
        ],
        "edges": edge_cases(),
        "limits": [
            {"setting": "temperature", "edge": 0.0001, "refused": "less"},
            {"setting": "top_p", "edge": 1, "refused": "more"},
            {"setting": "min_p", "edge": 1, "refused": "more"},
        ],
        "refused": [{"settings": settings, "message": message} for settings, message in REFUSED],
    }
