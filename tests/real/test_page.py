"""The quickstart's bundle, unchanged, in headless Chromium on WebAssembly."""

import pytest

from tests.benchmarks.page import PageRun, page_answer, python_ids
from tests.needs import BUILT_PAGE, CHROMIUM, NODE, NPM, skip_without

pytestmark = pytest.mark.real

TOKENS = 8


def test_the_bundle_opens_in_the_page_and_says_what_python_says(quickstart):
    skip_without(CHROMIUM, NODE, NPM, BUILT_PAGE)
    run = PageRun(bundle=quickstart.bundle, tokens=TOKENS)
    answer = page_answer(run)
    assert answer["providers"] == {"target": "wasm", "drafter": "wasm"}
    assert len(answer["ids"]) == TOKENS
    assert answer["ids"] == python_ids(run)
