"""Fixtures for the laws: the tiny real pair opened once, and what its target says when nothing of ours decodes."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgedraft.runtime.core.model import LanguageModel, Pass
from edgedraft.runtime.core.pass_times import PairPassTimes
from edgedraft.runtime.engine import Engine
from edgedraft.runtime.onnx.memory import OnnxModel
from edgedraft.runtime.onnx.session import open_model
from tests.laws.hybrids import Hybrids


class Reference:
    """Greedy decoding that shares no loop with the runtime: the prompt in one pass, then one token a pass."""

    def __init__(self, model: OnnxModel) -> None:
        self._model = model
        self._known: dict[tuple[int, ...], list[int]] = {}

    def answer(self, prompt_ids: Sequence[int], length: int, end_token_ids: Sequence[int] = ()) -> list[int]:
        """The target's own ``length`` tokens, fewer where an end token comes or the context is full."""
        known = self._known.setdefault(tuple(prompt_ids), [])
        if len(known) < length:
            known[:] = self._decode(prompt_ids, length)
        ends = [place + 1 for place, token in enumerate(known[:length]) if token in end_token_ids]
        return known[: min([length, *ends])]

    def echo(self, heads: Iterable[Sequence[int]]) -> list[int]:
        """A prompt, beginning with one of ``heads``, that says in advance how the target will answer it."""
        for head in heads:
            said: list[int] = [2, 3]
            for _ in range(10):
                prompt = [*head, 7, *said, 8, 7]
                before, said = said, self.answer(prompt, 2)
                if said == before:
                    return prompt
        raise AssertionError("give more heads")

    def _decode(self, prompt_ids: Sequence[int], length: int) -> list[int]:
        model = self._model
        model.rewind(0)
        tokens = [int(np.argmax(model.read(list(prompt_ids)).logits[-1]))]
        while len(tokens) < length and model.length < model.context_length:
            tokens.append(int(np.argmax(model.read(tokens[-1:]).logits[0])))
        return tokens


class PassClock:
    """A clock that only the passes of its models advance: the n-th pass of one takes its ``seconds(n)``."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def timed(self, model: LanguageModel, seconds: Callable[[int], float]) -> "ClockedModel":
        return ClockedModel(model, self, seconds)


class ClockedModel:
    """A model whose passes advance a clock; else it is the model it wraps."""

    def __init__(self, model: LanguageModel, clock: PassClock, seconds: Callable[[int], float]) -> None:
        self._model, self._clock, self._seconds, self._passes = model, clock, seconds, 0
        self.context_length, self.rewind = model.context_length, model.rewind

    @property
    def token_ids(self) -> Sequence[int]:
        return self._model.token_ids

    @property
    def length(self) -> int:
        return self._model.length

    def read(self, token_ids: Sequence[int]) -> Pass:
        done = self._model.read(token_ids)
        self._passes += 1
        self._clock.now += self._seconds(self._passes)
        return done


@pytest.fixture(scope="session")
def pass_clock() -> type[PassClock]:
    return PassClock


@pytest.fixture(scope="module")
def engine(tiny_bundle: Path) -> Engine:
    return Engine.open(tiny_bundle)


@pytest.fixture(scope="module")
def reference(engine: Engine) -> Reference:
    return Reference(open_model(engine.bundle.target_graph, engine.settings))


@pytest.fixture(scope="session")
def random_prompts():
    """Builds ``count`` prompts of 1..``longest`` random tokens, none of them special."""

    def build(count: int, seed: int, longest: int = 60) -> list[list[int]]:
        rng = np.random.default_rng(seed)
        return [rng.integers(2, 1024, rng.integers(1, longest + 1)).tolist() for _ in range(count)]

    return build


@pytest.fixture(scope="session")
def hybrids(tiny_pair, tmp_path_factory) -> Hybrids:
    root = tmp_path_factory.mktemp("hybrids")
    return Hybrids(root=root, cache=root / "cache", plain=tiny_pair.drafter)


@pytest.fixture(scope="session")
def tokens_of():
    return lambda rounds: [token for turn in rounds for token in turn.token_ids]


class RememberedModel:
    """A `LanguageModel` over real sessions that asks them once for every context; copies share what was asked."""

    def __init__(self, model: OnnxModel, kept: np.ndarray | None = None) -> None:
        self._model, self._kept = model, kept
        self._rows: dict[tuple[int, ...], np.ndarray] = {}
        self._tokens: list[int] = []
        self.context_length = model.context_length

    def new_model(self, context_length: int) -> "RememberedModel":
        """A model with a memory of its own, which has read nothing."""
        other = RememberedModel(self._model, self._kept)
        other._rows, other.context_length = self._rows, context_length
        return other

    def row(self, context: tuple[int, ...]) -> np.ndarray:
        """The real logits after ``context``, of the tokens that the drafter keeps."""
        if context not in self._rows:
            self._model.rewind(0)
            row = self._model.read(context).logits[-1]
            self._rows[context] = row.copy() if self._kept is None else row[self._kept]
        return self._rows[context]

    @property
    def token_ids(self) -> list[int]:
        return self._tokens

    @property
    def length(self) -> int:
        return len(self._tokens)

    def read(self, token_ids: Sequence[int]) -> Pass:
        assert 0 < len(token_ids) <= self.context_length - self.length
        start = self.length
        self._tokens += token_ids
        return Pass(logits=np.stack([self.row(tuple(self._tokens[: end + 1])) for end in range(start, self.length)]))

    def rewind(self, length: int) -> None:
        assert 0 <= length <= self.length
        del self._tokens[length:]


@pytest.fixture(scope="session")
def remembered() -> type[RememberedModel]:
    return RememberedModel


class _Uniform:
    """A number between 0 and ``scale`` that is all of them at once, until it is compared."""

    def __init__(self, crowd: "Crowd", scale: float) -> None:
        self._crowd, self._scale = crowd, scale

    def __mul__(self, factor: float) -> "_Uniform":
        return _Uniform(self._crowd, self._scale * float(factor))

    def __lt__(self, bound: float) -> bool:
        below = min(float(bound) / self._scale, 1.0)
        return bool(self._crowd.branch(np.array([1 - below, below])))

    def __array_function__(self, function, types, arguments, options) -> int:
        assert function is np.searchsorted and options == {"side": "right"}, "a place among cumulated probabilities"
        return self._crowd.branch(np.diff(arguments[0] / self._scale, prepend=0.0))


class Crowd:
    """A random generator for many independent answers at once.

    Where an answer asks for a random number and compares it, each of the crowd's walkers goes its own way: how many go
    which is one multinomial draw. The code under test then runs once for every way that is taken (with ``exact``: for
    every one that can be), not once for every walker; the counts at the ends are those of as many separate answers.
    """

    def __init__(self, walkers: int, seed: int, *, exact: bool) -> None:
        self._rng = np.random.default_rng(seed)
        self._exact = exact
        self._ahead: list[tuple[list[int], float, int]] = [([], 1.0, walkers)]
        self._way: list[int] = []
        self._step = 0
        self.chance, self.walkers = 1.0, walkers

    def ways(self):
        """Each turn of the loop is one way to the end; ``chance`` and ``walkers`` then tell who went it."""
        while self._ahead:
            self._way, self.chance, self.walkers = self._ahead.pop()
            self._step = 0
            yield

    def random(self) -> _Uniform:
        return _Uniform(self, 1.0)

    def branch(self, chances: np.ndarray) -> int:
        """The outcome on this way; where it is new, the walkers part."""
        if self._step == len(self._way):
            counts = self._rng.multinomial(self.walkers, chances / chances.sum())
            taken = np.flatnonzero((chances > 0) if self._exact else counts)
            parts = [([*self._way, int(i)], self.chance * float(chances[i]), int(counts[i])) for i in taken]
            self._ahead += parts[1:]
            self._way, self.chance, self.walkers = parts[0]
        self._step += 1
        return self._way[self._step - 1]


@pytest.fixture(scope="session")
def crowd() -> type[Crowd]:
    return Crowd


@pytest.fixture(scope="module")
def warm_pass_times(engine: Engine):
    """Builds pass times that know plain passes, so that the adaptive policy drafts from the second step.

    The plan's own times were taken on this machine, however busy it was; here blocks cost what one row does.
    """
    plan = replace(engine.bundle.manifest.plan, target_pass_seconds=(1e-2,) * 17, drafter_pass_seconds=(1e-7,) * 2)

    def build() -> PairPassTimes:
        pass_times = PairPassTimes.planned(plan)
        for _ in range(10):
            pass_times.target.record(1, 1e-2)
            pass_times.drafter.record(1, 1e-7)
        return pass_times

    return build


@pytest.fixture(scope="module")
def torch_alone():
    """Torch on one thread: its pool waits for cores that onnxruntime's keeps busy."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def times(make_plan) -> PairPassTimes:
    """Pass times by which drafting is cheap, so that the adaptive policy drafts."""
    plan = make_plan(target_pass_seconds=(1e-2,) * 17, drafter_pass_seconds=(1e-7,) * 2)
    known = PairPassTimes.planned(plan)
    for _ in range(10):
        known.target.record(1, 1e-2)
        known.drafter.record(1, 1e-7)
    return known
