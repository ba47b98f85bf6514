"""Make tuning.json: passes from timed rounds, speeds from passes and a forecast, and the choice, by exact fractions."""

from fractions import Fraction

SHORTEST = Fraction(1, 10**9)
WORTHWHILE = Fraction(103, 100)
LEAST_GAIN = Fraction(1, 20)
WORDS = {"slow": 1000.0, "fast": 1e-6}  # seconds beside the median of three: how far away they are never matters

# drafts, what became of the round before, seconds of the drafter and of the target
ROUNDS = {
    "costs of a draft and of a row that was not read yet": [
        (0, "none", "any", 0.5),
        (0, "plain", "any", 0.7),
        (1, "plain", "any", "fast"),
        (1, "part", 0.1, 0.64),
        (1, "full", 0.16, "slow"),
        (2, "part", 0.21, 0.7),
        (2, "full", 0.24, 0.72),
    ],
    "medians leave out what a slow moment did": [
        (0, "none", "any", "slow"),
        (0, "part", "any", 0.25),
        (0, "part", "any", "fast"),
        (1, "part", "slow", "fast"),
        (1, "part", 0.125, 0.5),
        (1, "part", "fast", "slow"),
        (3, "part", 0.5, 1.25),
        (3, "full", "slow", "slow"),
        (3, "full", 0.75, "fast"),
        (3, "full", "fast", 1.5),
    ],
    "rows between those that were timed lie on a straight line": [
        (0, "none", "any", 1.0),
        (2, "part", 0.3, 1.5),
        (6, "part", 0.8, 4.5),
        (6, "full", 0.9, 4.75),
    ],
    "no round was accepted in full": [(0, "none", "any", 1.0), (1, "part", 0.25, 1.25), (2, "part", 0.75, 1.75)],
    "rounds accepted in full of one length alone": [(0, "none", "any", 1.0), (2, "full", 0.75, 1.5)],
    "no cost is negative": [
        (0, "none", "any", 1.0),
        (1, "part", 0.5, 1.25),
        (1, "full", 0.25, 1.5),
        (2, "part", 1.0, 2.0),
        (2, "full", 0.8, 2.25),
    ],
}

# tokens; draft length, rounds, full rounds, accepted, evaluated; draft length, rounds by drafts, accepted, evaluated
FORECAST = (100, [(1, 60, 40, 41, 60), (2, 45, 20, 55, 80)], [(2, [85, 5, 3], 7, 9)])
WAYS = {
    "long drafts where drafts and rows are cheap": (FORECAST, [1.0, 1.02, 1.04], 0.05, 0.01),
    "short drafts where rows are dear": (FORECAST, [1.0, 1.2, 1.6], 0.2, 0.02),
    "look-ups where the drafter is dear": (FORECAST, [1.0, 1.05, 1.1], 2.0, 0.1),
    "none where both are dear, and the drafter where the user asks": (FORECAST, [1.0, 4.0, 7.0], 2.0, 0.1),
    "rows are padded where more of them take less time": (FORECAST, [1.0, "slow", 1.125], 0.0625, 0.03125),
    "lengths that were not timed and look-ups that found nothing are left out": (
        (
            50,
            [(1, 30, 20, 21, 31), ("beyond", "any", "any", "any", "any")],
            [("any", ["any"], 0, "any"), (1, [40, 5], 3, 4), ("beyond", ["any"], "any", "any")],
        ),
        [1.0, 1.25],
        0.125,
        0.03125,
    ),
    "of two that are equally fast the first": (
        (8, [(1, 4, 2, 3, 4), (2, 2, 1, 4, 4)], []),
        [2.0, 1.5, 3.25],
        0.25,
        0.5,
    ),
}
EDGES = {
    "a fixed length gains 3 %": ((100, [(1, 60, 40, "any", "any")], []), [1.25], 0.25, 0.125),
    "a look-up gains 3 %": (
        (100, [(1, "any", "any", "any", "any")], [(1, [0, 80], "any", "any")]),
        [1.25],
        "slow",
        "any",
    ),
}
AFFORDABLE = ([1.0, "any", 1.5], 0.125)
LENGTHS = (0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8)


def seconds(value: float | str) -> Fraction:
    """Return seconds as a fraction."""
    return Fraction(WORDS.get(value, 1.0) if isinstance(value, str) else value)


def whole(value: int | str) -> int:
    """Return a count; 1 where any will do."""
    return 1 if value == "any" else int(value)


def median(values: list[Fraction]) -> Fraction:
    """Return the middle value, or the mean of the middle two."""
    ordered = sorted(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def line(known: dict[int, Fraction], place: int) -> Fraction:
    """Return the value at ``place``, between known ones on a straight line."""
    if place in known:
        return known[place]
    low, high = max(each for each in known if each < place), min(each for each in known if each > place)
    return known[low] + (known[high] - known[low]) * Fraction(place - low, high - low)


def passes(rounds: list[tuple]) -> dict:
    """Return the seconds of passes."""
    groups = {drafted: [seconds(row[3]) for row in rounds if row[0] == drafted] for drafted, *_ in rounds}
    known = {drafted: median(values) for drafted, values in groups.items()}
    drafting = [row for row in rounds if row[0] > 0 and row[1] != "plain"]
    cases = sorted({(drafted, int(before == "full")) for drafted, before, *_ in drafting})
    alike = [[seconds(row[2]) for row in drafting if (row[0], int(row[1] == "full")) == case] for case in cases]
    return {
        "target": [float(line(known, place)) for place in range(max(known) + 1)],
        **dict(zip(("step", "after_full"), map(float, fitted(cases, alike)), strict=True)),
    }


def fitted(cases: list[tuple[int, int]], alike: list[list[Fraction]]) -> list[Fraction]:
    """Return the costs with the least squares of relative errors; the shortest solution, where there are many."""
    aa = ab = bb = a_s = b_s = Fraction(0)
    for (a, b), values in zip(cases, alike, strict=True):
        middle = median(values)
        weight = len(values) / middle**2
        aa, ab, bb = aa + weight * a * a, ab + weight * a * b, bb + weight * b * b
        a_s, b_s = a_s + weight * a * middle, b_s + weight * b * middle
    determinant = aa * bb - ab * ab
    if determinant:
        costs = [(bb * a_s - ab * b_s) / determinant, (aa * b_s - ab * a_s) / determinant]
    else:
        costs = [a_s / (aa + bb), b_s / (aa + bb)]
    return [max(cost, SHORTEST) for cost in costs]


def paid(target: list[Fraction], rows: int) -> Fraction:
    """Return the seconds of a pass that needs ``rows`` rows; more rows where they save a twentieth."""
    own = target[rows - 1]
    least = min(target[rows:], default=own) if rows > 1 else own
    return least if least < (1 - LEAST_GAIN) * own else own


def ways(forecast: tuple, target: list, step: float, further: float) -> list[list]:
    """Return policy, draft length, tokens per second, block efficiency and acceptance rate of every way."""
    tokens, lengths, lookups = forecast
    shown = [seconds(value) for value in target]
    found: list[list] = [["plain", 0, 1 / shown[0], Fraction(1), Fraction(0)]]
    for length, *counts in lengths:
        if length != "beyond" and length < len(shown):
            rounds, full, accepted, evaluated = map(whole, counts)
            spent = rounds * (length * seconds(step) + paid(shown, length + 1)) + full * seconds(further)
            found.append(["fixed", length, tokens / spent, Fraction(tokens, rounds), Fraction(accepted, evaluated)])
    for length, by_drafts, *both in lookups:
        if length != "beyond" and whole(both[0]) > 0:
            accepted, evaluated = map(whole, both)
            spent = sum(count * paid(shown, drafted + 1) for drafted, count in enumerate(by_drafts))
            rounds = sum(by_drafts)
            found.append(["ngram", length, tokens / spent, Fraction(tokens, rounds), Fraction(accepted, evaluated)])
    return found


def choice(found: list[list]) -> dict:
    """Return what is chosen, and whether it is worth it."""
    plain, *drafting = found
    fastest = max(drafting, key=lambda way: way[2])
    worthwhile = fastest[2] >= WORTHWHILE * plain[2]
    best = fastest if worthwhile else max((way for way in drafting if way[0] == "fixed"), key=lambda way: way[2])
    return {"policy": best[0], "draft_length": best[1], "speculate": worthwhile}


def forecast_of(forecast: tuple) -> dict:
    """Return a forecast under the names of its fields."""
    tokens, lengths, lookups = forecast
    kinds = ("rounds", "full_rounds", "accepted", "evaluated"), ("rounds", "accepted", "evaluated")
    by_length, by_lookup = (("draft_length", *names) for names in kinds)
    return {
        "tokens": tokens,
        "lengths": [dict(zip(by_length, each, strict=True)) for each in lengths],
        "lookups": [dict(zip(by_lookup, each, strict=True)) for each in lookups],
    }


def way_case(name: str, forecast: tuple, target: list, step: float, further: float) -> dict:
    """Return one forecast on one device."""
    found = ways(forecast, target, step, further)
    return {
        "name": name,
        "forecast": forecast_of(forecast),
        "passes": {"target": target, "step": step, "after_full": further},
        "ways": [[policy, length, *map(float, numbers)] for policy, length, *numbers in found],
        "chosen": choice(found),
    }


def edge_case(name: str, forecast: tuple, target: list, step: float, further: float) -> dict:
    """Return a forecast with the seconds of a plain step from which on drafts are worth it."""
    policy, length, speed, *_ = max(ways(forecast, ["any", *target], step, further)[1:], key=lambda way: way[2])
    return {
        "name": name,
        "forecast": forecast_of(forecast),
        "passes": {"target": target, "step": step, "after_full": further},
        "worth_from_plain_seconds": float(WORTHWHILE / speed),
        "chosen": {"policy": policy, "draft_length": length},
    }


def affordable() -> dict:
    """Return the seconds from which on a turn goes up to each draft length."""
    target, step = AFFORDABLE
    row = (seconds(target[-1]) - seconds(target[0])) / (len(target) - 1)
    spent, edges = Fraction(0), []
    for length in LENGTHS:
        spent += seconds(target[0]) + length * (row + seconds(step))
        if length > 2:
            edges.append({"longest": length, "from_seconds": float(spent)})
    return {"name": "longest drafts by seconds", "passes": {"target": target, "step": step}, "edges": edges}


def make() -> dict:
    """Return the whole file."""
    keys = ("drafted", "before", "drafter_seconds", "target_seconds")
    return {
        "about": "Passes from timed rounds, and a choice by a forecast. What is called any, slow or fast never counts; "
        "a draft length beyond those that were timed is called beyond.",
        "passes": [
            {"name": name, "rounds": [dict(zip(keys, each, strict=True)) for each in rounds], **passes(rounds)}
            for name, rounds in ROUNDS.items()
        ],
        "ways": [way_case(name, *facts) for name, facts in WAYS.items()],
        "edges": [edge_case(name, *facts) for name, facts in EDGES.items()],
        "affordable": [affordable()],
    }
