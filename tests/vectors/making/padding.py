"""Make padding.json: how many rows a pass is given, by searching every number of rows."""

LEAST_GAIN = 0.05
TILE = 4
HAIR = 1e-6

TABLES = [
    ("nobody measured, WebGPU fills a tile", "webgpu", [], []),
    ("nobody measured, WebAssembly pads nothing", "wasm", [], []),
    ("a twentieth less is not yet enough", "wasm", ["any", 20, 19], ["3 less", "2 more"]),
    (
        "the first of equally cheap ones",
        "wasm",
        ["any", 20, 19, 19],
        ["3 less", "4 less", "2 more", "2 more, 3 more"],
    ),
    (
        "two rows or three go on to four or five",
        "webgpu",
        ["any", 10, 10, 9.5, 9.5],
        ["4 less", "5 less", "2 more", "3 more", "3 more, 4 more"],
    ),
    ("WebGPU keeps to what was measured", "webgpu", ["any", 8, 7.6], ["3 less", "2 more"]),
]
MINIMUMS = (1, 2, 3, 6)
NUDGED_MINIMUMS = (1, 2)


def padded(rows: int, seconds: list[float], provider: str, minimum: int) -> int:
    """Return the rows of a pass: at least the minimum, and more where that saves a twentieth of its time."""
    if rows == 0:
        return 0
    least = max(rows, minimum)
    if least == 1:
        return 1
    if not seconds:
        return max(least, TILE) if provider == "webgpu" else least
    worth = [(seconds[count - 1], count) for count in range(least + 1, len(seconds) + 1)]
    enough = [each for each in worth if each[0] < (1 - LEAST_GAIN) * seconds[least - 1]]
    return min(enough)[1] if enough else least


def table(
    provider: str, seconds: list, nudge: dict[str, str], minimums: tuple[int, ...] = MINIMUMS
) -> dict[str, list[int]]:
    """Return the rows for 0, 1, 2 ... needed ones, by the minimum; some seconds are nudged by a hair."""
    by = {"less": 1 - HAIR, "more": 1 + HAIR}
    shown = [
        1.0 if value == "any" else value * by.get(nudge.get(str(place), ""), 1)
        for place, value in enumerate(seconds, start=1)
    ]
    return {
        str(minimum): [padded(rows, shown, provider, minimum) for rows in range(len(seconds) + 3)]
        for minimum in minimums
    }


def nudged(provider: str, seconds: list, words: str) -> dict:
    """Return the rows where the seconds that ``words`` name are a hair less or more."""
    nudge = dict(word.split(" ") for word in words.split(", "))
    return {"nudge": nudge, "padded": table(provider, seconds, nudge, NUDGED_MINIMUMS)}


def make() -> dict:
    """Return the whole file."""
    return {
        "about": "Rows given to a pass that needs 0, 1, 2 ..., by the minimum. Seconds called any never matter.",
        "tables": [
            {
                "name": name,
                "provider": provider,
                "pass_seconds": seconds,
                "padded": table(provider, seconds, {}),
                "nudged": [nudged(provider, seconds, words) for words in nudges],
            }
            for name, provider, seconds, nudges in TABLES
        ],
        "models": [
            {
                "name": "a pass without room for its padding is left as it is",
                "provider": "webgpu",
                "context_length": 6,
                "reads": ["abc", "de", "f"],
                "passes": ["abcc", "de", "f"],
            },
            {
                "name": "a pass whose padding just fits is padded",
                "provider": "webgpu",
                "context_length": 7,
                "reads": ["abc", "de", "f", "g"],
                "passes": ["abcc", "deee", "f", "g"],
            },
        ],
    }
