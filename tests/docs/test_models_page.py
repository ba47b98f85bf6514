"""The page of models lists the families and pairs of the exporter."""

import importlib.util

from tests.docs.blocks import REPOSITORY


def test_the_tables_are_those_of_the_families():
    path = REPOSITORY / "docs" / "make_models.py"
    spec = importlib.util.spec_from_file_location("make_models", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = path.with_name("models.md").read_text(encoding="utf-8")
    assert text.count(module.BEGIN) == text.count(module.END) == 1
    assert text == module.page(text), "run python docs/make_models.py"
