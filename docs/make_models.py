"""Write the tables of docs/models.md from the model families of the exporter: ``python docs/make_models.py``."""

from collections.abc import Sequence
from pathlib import Path

from edgedraft.exporter.models.families import TAKEN, TRIED_PAIRS, refused_rows

BEGIN, END = "<!-- written by docs/make_models.py -->\n", "<!-- end -->\n"


def page(text: str) -> str:
    """Return the page ``text`` with its tables replaced."""
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    return before + BEGIN + tables() + END + after


def tables() -> str:
    """Return the tables of converted families, of tested pairs, and of refused families."""
    taken = [(each.name, each.models, ", ".join(each.tried), ", ".join(each.gguf) or "no") for each in TAKEN]
    pairs = [(each.target, each.drafter, each.given_as) for each in TRIED_PAIRS]
    refused = [(names, reason, f"`{option}`" if option else "") for names, reason, option in refused_rows()]
    return "".join(
        [
            _table(("family", "models", "forms tried", "as GGUF"), taken),
            _table(("pair tried with real weights: target", "drafter", "given as"), pairs),
            _table(("not converted", "why", "instead"), refused),
            "\n",
        ]
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    path = Path(__file__).with_name("models.md")
    path.write_text(page(path.read_text(encoding="utf-8")), encoding="utf-8")
