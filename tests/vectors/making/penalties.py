"""Make penalties.json: the repetition penalty and the bias, in float32 as the logits are."""

import numpy as np

CASES = [
    ("a penalty alone", [1.3, -0.7, 2.9, 0.4, -1.1], 1.1, [0, 1, 3], {}),
    ("a penalty below 1 favours what was seen", [0.3, -2.6, 1.7, 3.1], 0.85, [3, 1], {}),
    ("a bias alone", [1.3, -0.7, 2.9, 0.4], None, [], {"1": 2.7, "2": -0.3}),
    ("the bias comes after the penalty", [4.1, -3.3, 0.6, 2.2, 1.9], 1.37, [4, 0, 1], {"0": -1.3, "3": 0.7}),
    ("-inf shuts a token out", [0.9, 5.3, -1.6], 1.2, [1, 2], {"1": "-inf"}),
]


def case(name: str, logits: list[float], penalty: float | None, seen: list[int], bias: dict) -> dict:
    """Return one case; every step rounds to float32, and so do the penalty and the bias."""
    penalised = np.asarray(logits, dtype=np.float32)
    for token_id in seen:
        score, factor = penalised[token_id], np.float32(penalty)
        penalised[token_id] = score * factor if score < 0 else score / factor
    adjusted = penalised.copy()
    for token_id, amount in bias.items():
        adjusted[int(token_id)] = adjusted[int(token_id)] + np.float32(amount)
    return {
        "name": name,
        "logits": logits,
        **({"seen": seen, "repetition_penalty": penalty} if penalty is not None else {}),
        "penalised": [plain(score) for score in penalised],
        "logit_bias": bias,
        "adjusted": [plain(score) for score in adjusted],
    }


def plain(score: np.float32) -> float | str:
    """Return a float32 as JSON can hold it."""
    return float(score) if np.isfinite(score) else str(float(score))


def make() -> dict:
    """Return the whole file."""
    return {
        "about": "Logits after the penalty on seen ids, and after the bias too; exact to the last bit of float32.",
        "shut": "logit_bias must leave a token to choose, got none",
        "cases": [case(*each) for each in CASES],
    }
