"""What the adaptive policy learns, as numbers alone: acceptance rates, a loss budget, backoff."""

from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.runtime.core.estimators import AcceptanceEstimator, Backoff, LossBudget

LAWS = settings(max_examples=100, deadline=None, derandomize=True, database=None)


def test_a_kind_never_judged_has_its_prior():
    assert AcceptanceEstimator().rate("a", 0.625) == 0.625


def test_the_prior_is_worth_as_many_drafts_as_its_weight():
    estimator = AcceptanceEstimator(prior_weight=4.0, memory=1.0)
    for accepted in (True, True, False, True):
        estimator.record("a", accepted)
    assert estimator.rate("a", 0.5) == (3 + 4 * 0.5) / (4 + 4)
    assert estimator.rate("b", 0.5) == 0.5


@LAWS
@given(judged=st.lists(st.booleans(), max_size=60), prior=st.floats(0, 1))
def test_rates_lie_between_0_and_1(judged, prior):
    estimator = AcceptanceEstimator()
    for accepted in judged:
        estimator.record("a", accepted)
    assert 0 <= estimator.rate("a", prior) <= 1 + 1e-12


def test_old_drafts_fade():
    estimator = AcceptanceEstimator()
    for accepted in [True] * 200 + [False] * 100:
        estimator.record("a", accepted)
    assert estimator.rate("a", 0.9) < 0.2


def test_no_round_may_risk_more_than_there_is():
    budget = LossBudget(share=0.125, steps=1.0)
    assert (budget.covers(1.0), budget.covers(1.01)) == (True, False)
    budget.record(1, 1.5)  # 1 + 1 - 1.5 + 0.125
    assert (budget.covers(0.625), budget.covers(0.63)) == (True, False)


def test_gains_are_saved_up_to_the_most():
    budget = LossBudget(share=0.0, steps=1.0, most=3.0)
    for _ in range(10):
        budget.record(4, 1.0)
    assert (budget.covers(3.0), budget.covers(3.1)) == (True, False)


@LAWS
@given(rounds=st.lists(st.tuples(st.integers(1, 9), st.floats(0, 9)), max_size=300))
def test_what_is_covered_never_loses_more_than_the_share_and_a_step(rounds):
    """Every round commits a token at least, so one that may cost ``risk`` steps more loses ``risk`` at most."""
    budget, spent, tokens = LossBudget(share=0.018), 0.0, 0
    for committed, risk in rounds:
        committed, steps = (committed, 1 + risk) if budget.covers(risk) else (1, 1.0)
        budget.record(committed, steps)
        spent, tokens = spent + steps, tokens + committed
        assert spent <= tokens * 1.018 + 1 + 1e-9


def drafts_asked(tokens, kept=lambda asked: False):
    """Where a drafter that is not expected to pay is asked, one token a round."""
    backoff, asked = Backoff(), []
    for token in range(tokens):
        may = backoff.may_draft(False)
        if may:
            asked.append(token)
        backoff.record(1, may, may and kept(len(asked)))
    return asked


def test_pauses_double_up_to_the_longest():
    assert drafts_asked(160) == [4, 12, 28, 60, 92, 124, 156]


def test_a_pause_in_which_nothing_was_asked_stays_open():
    backoff = Backoff()
    for _ in range(200):
        backoff.record(1, False, False)
    assert backoff.may_draft(False)


def test_an_accepted_draft_starts_the_backoff_anew():
    assert drafts_asked(60, kept=lambda asked: asked == 3) == [4, 12, 28, 33, 41, 57]


def test_what_pays_is_always_asked():
    backoff = Backoff()
    for _ in range(200):
        assert backoff.may_draft(True)
        backoff.record(1, True, False)
