"""Values that Python and TypeScript share."""

from dataclasses import asdict

import pytest

from edgedraft.runtime.base.tokenizer_files import TEXT_FILES
from edgedraft.runtime.bundle.manifest import MANIFEST_NAME, SCHEMA_VERSION
from edgedraft.runtime.core.adaptive import LONGEST_DRAFT
from edgedraft.runtime.core.model import CONTEXT_LENGTH, PREFILL_ROWS, prompt_pieces
from edgedraft.runtime.core.ngram import LONGEST, SHORTEST
from edgedraft.runtime.core.plan import WORTHWHILE_SPEED_UP
from edgedraft.runtime.core.policies import POLICIES
from edgedraft.runtime.core.sampling import SamplingSettings

IN_THE_BROWSER = {"plain", "fixed", "ngram"}  # Python has more policies


def test_constants(vectors):
    assert vectors["constants"] == {
        "context_length": CONTEXT_LENGTH,
        "prefill_rows": PREFILL_ROWS,
        "schema_version": SCHEMA_VERSION,
        "manifest_name": MANIFEST_NAME,
        "text_files": list(TEXT_FILES),
        "shortest_ngram": SHORTEST,
        "longest_ngram": LONGEST,
        "longest_draft": LONGEST_DRAFT,
        "worthwhile_speed_up": WORTHWHILE_SPEED_UP,
        "policies": [name for name in POLICIES if name in IN_THE_BROWSER],
    }


def test_sampling_settings_left_out(vectors):
    assert vectors["sampling_settings"] == asdict(SamplingSettings())


@pytest.mark.section("prompts")
def test_pieces_of_a_prompt(case):
    assert [len(piece) for piece in prompt_pieces(range(case["tokens"]))] == case["pieces"]
