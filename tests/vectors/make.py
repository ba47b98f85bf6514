"""Write the vector files whose expected values are computed; nothing here imports the product.

Run ``python tests/vectors/make.py`` to write them, with ``--check`` to compare them with what is there. The other files
in this folder are written by hand.
"""

import json
import sys
from pathlib import Path

from making import acceptance, filters, padding, penalties, statistics, tuning

FOLDER = Path(__file__).resolve().parent
FAMILIES = {
    "acceptance": acceptance,
    "filters": filters,
    "padding": padding,
    "penalties": penalties,
    "statistics": statistics,
    "tuning": tuning,
}
WIDTH = 110


def text_of(value: object, indent: int = 0) -> str:
    """Return JSON in which whatever fits into one line stands on one."""
    line = json.dumps(value, ensure_ascii=False)
    if len(line) + indent <= WIDTH or not isinstance(value, dict | list):
        return line
    inner = " " * (indent + 2)
    if isinstance(value, dict):
        items = [f"{json.dumps(key)}: {text_of(item, indent + 2)}" for key, item in value.items()]
        return "{\n" + ",\n".join(inner + item for item in items) + "\n" + " " * indent + "}"
    return "[\n" + ",\n".join(inner + text_of(item, indent + 2) for item in value) + "\n" + " " * indent + "]"


def main() -> int:
    """Write or check every file."""
    wrong = []
    for name, family in FAMILIES.items():
        path, text = FOLDER / f"{name}.json", text_of(family.make()) + "\n"
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
        elif path.read_text(encoding="utf-8") != text:
            wrong.append(path.name)
    if wrong:
        print(f"not what make.py makes: {', '.join(wrong)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
