"""Compare the kernels that a plan's passes were timed with to those that run: its times hold for no others."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.kernel_names import NOT_RECORDED, PairKernels
from edgedraft.runtime.bundle.reading import Bundle
from edgedraft.runtime.core.padding import PaddedGraph
from edgedraft.runtime.native.library import AUTO, STOCK
from edgedraft.runtime.onnx.kernel_choice import chosen_kernels, planned_setting, session_kernels
from edgedraft.runtime.onnx.session import OnnxGraph, SessionSettings

PLAN_AGAIN = "plan again on this machine (edgedraft export)"


def as_planned(settings: SessionSettings, graph: Path, planned: str) -> SessionSettings:
    """Return ``settings`` with the plan's kernels for ``graph``, where neither they nor the environment name any.

    Sessions that must be exact choose for themselves where those are stock kernels, which cannot be.
    """
    if settings.kernels != AUTO:
        return settings
    kernels = planned_setting(graph, settings.provider, planned)
    return settings if settings.exact and kernels == STOCK else replace(settings, kernels=kernels)


def exact_mode_may_be_free(settings: SessionSettings, graph: Path, planned: str) -> bool:
    """Return whether a session on ``graph`` would have kernels whose rows are independent."""
    with chosen_kernels(graph, settings.provider, as_planned(settings, graph, planned).kernels) as choice:
        return choice.independent_rows


def timed_as_run(planned: str, running: str) -> bool:
    """Return whether times of ``planned`` kernels hold for ``running`` ones.

    Files that did not record kernels are of stock ones: edgedraft had no others when it wrote them.
    """
    return running == (STOCK if planned == NOT_RECORDED else planned)


def kernels_remark(
    planned: PairKernels, running: PairKernels, default: PairKernels, remedy: str = PLAN_AGAIN
) -> str | None:
    """Return one line where a plan is not for the kernels that run, or holds back faster default ones; else None."""
    if not timed_as_run(planned.target, running.target) or not timed_as_run(planned.drafter, running.drafter):
        rule = f"plan: expected pass times of {running}, which run here"
        return str(EdgedraftError(rule, got=f"those of {planned}", remedy=remedy))
    if any(ours == STOCK != theirs for ours, theirs in _by_role(running, default)):
        rule = f"plan: expected {default}, which run here and are faster"
        return str(EdgedraftError(rule, got=f"{running}, as planned", remedy=remedy))
    return None


def _by_role(first: PairKernels, second: PairKernels) -> tuple[tuple[str, str], tuple[str, str]]:
    return (first.target, second.target), (first.drafter, second.drafter)


def default_kernels(bundle: Bundle, provider: str) -> PairKernels:
    """Return the kernels that a bundle's sessions take on ``provider`` without a plan."""
    return _pair([session_kernels(graph, provider, AUTO) for graph in (bundle.target_graph, bundle.drafter_graph)])


def bundle_remark(bundle: Bundle) -> str | None:
    """Return `kernels_remark` for a bundle as it would be opened on the provider that it was planned for.

    None where that provider runs no own kernels.
    """
    graphs = (bundle.target_graph, bundle.drafter_graph)
    return graphs_remark(graphs, bundle.manifest.plan.kernels, bundle.manifest.provider)


def graphs_remark(
    graphs: tuple[Path, Path], planned: PairKernels, provider: str, remedy: str = PLAN_AGAIN
) -> str | None:
    """Return `kernels_remark` for the graphs of target and drafter, as a plan with these kernels would open them."""
    setting = (
        planned_setting(graph, provider, each)
        for graph, each in zip(graphs, (planned.target, planned.drafter), strict=True)
    )
    running = [session_kernels(graph, provider, each) for graph, each in zip(graphs, setting, strict=True)]
    default = [session_kernels(graph, provider, AUTO) for graph in graphs]
    return kernels_remark(planned, _pair(running), _pair(default), remedy)


def _pair(names: Sequence[str]) -> PairKernels:
    target, drafter = names
    return PairKernels(target=target, drafter=drafter)


def opened_remark(
    bundle: Bundle, settings: tuple[SessionSettings, SessionSettings], running: PairKernels
) -> str | None:
    """Return `kernels_remark` for an opened bundle whose sessions run with these settings and kernels.

    None on providers that the plan is not for: there none of its times hold.
    """
    if any(each.provider != bundle.manifest.provider for each in settings):
        return None
    chosen = any(each.kernels != AUTO for each in settings)
    default = running if chosen else default_kernels(bundle, settings[0].provider)
    return kernels_remark(bundle.manifest.plan.kernels, running, default)


def padded_graph(graph: OnnxGraph, pass_seconds: tuple[float, ...], measured: str, kernels: str) -> PaddedGraph:
    """Return ``graph``, padded by the plan's pass times.

    They count if they were ``measured`` on the provider that it runs on, with the ``kernels`` that it runs with. A
    graph with recurrent states is not padded: the padding would be rewound, and the tokens before it read again.
    """
    provider = graph.settings.provider
    known = provider == measured and timed_as_run(kernels, graph.kernels.name) and not graph.states
    return PaddedGraph(graph=graph, pass_seconds=pass_seconds if known else (), provider=provider)
