"""The API page says what the docstrings say."""

import importlib.util

from tests.docs.blocks import REPOSITORY


def test_the_page_is_what_the_docstrings_say():
    path = REPOSITORY / "docs" / "make_api.py"
    spec = importlib.util.spec_from_file_location("make_api", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert path.with_name("api.md").read_text(encoding="utf-8") == module.page(), "run python docs/make_api.py"


def test_every_public_name_has_a_section():
    import edgedraft

    text = (REPOSITORY / "docs" / "api.md").read_text(encoding="utf-8")
    names = [name for name in edgedraft.__all__ if not name.startswith("__")]
    assert [name for name in names if f"## `{name}`" not in text] == []
