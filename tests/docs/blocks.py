"""Read the documentation: its files, and the code blocks in them."""

import re
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = (REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").glob("*.md")))

_BLOCK = re.compile(r"(?:<!-- not run: (?P<reason>[^>]+) -->\n)?```(?P<language>\w*)\n(?P<code>.*?)^```$", re.M | re.S)


@dataclass(frozen=True, kw_only=True)
class Block:
    """A code block of a page. A block with a ``reason`` is not run, and says why in a comment before it."""

    page: str
    line: int
    language: str
    code: str
    reason: str | None

    @property
    def name(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(language: str) -> list[Block]:
    """Every block in ``language`` of every page."""
    return [
        Block(
            page=page.relative_to(REPOSITORY).as_posix(),
            line=text.count("\n", 0, match.start()) + 1,
            language=match["language"],
            code=match["code"],
            reason=match["reason"],
        )
        for page in PAGES
        for text in [page.read_text(encoding="utf-8")]
        for match in _BLOCK.finditer(text)
        if match["language"] == language
    ]


def runnable(language: str) -> list[Block]:
    return [block for block in blocks(language) if block.reason is None]
