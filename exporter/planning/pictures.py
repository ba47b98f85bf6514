"""The picture of a calibration: held-out coverage and block efficiency against draft vocabulary size."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgedraft.calibration.counts import TokenCounts
from edgedraft.exporter.planning.planner import candidate_sizes
from edgedraft.exporter.planning.ranking import coverage
from edgedraft.exporter.planning.replaying import Replaying
from edgedraft.exporter.planning.utility import Weighed
from edgedraft.runtime.errors import MissingExtraError
from edgedraft.runtime.files import replacing_file
from edgedraft.runtime.index_map import Ids
from edgedraft.runtime.plan import DecodingPlan


@dataclass(frozen=True, kw_only=True, slots=True)
class Curves:
    """Coverage and τ on held-out prompts, one entry a size."""

    sizes: tuple[int, ...]
    coverage: tuple[float, ...]
    block_efficiency: tuple[float, ...]


def curves(counts: TokenCounts, replayed: Replaying, order: Ids, draft_length: int) -> Curves:
    """The curves of one token order at one draft length."""
    sizes = candidate_sizes(len(order))
    return Curves(
        sizes=sizes,
        coverage=tuple(coverage(counts, order, size) for size in sizes),
        block_efficiency=tuple(replayed(size, draft_length).block_efficiency for size in sizes),
    )


def draw(drawn: Curves, plan: DecodingPlan, title: str, path: Path) -> None:
    """Write a PNG with both curves and the plan's size marked."""
    try:
        import matplotlib
    except ImportError as error:
        raise MissingExtraError("matplotlib", "export") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, left = pyplot.subplots(figsize=(8, 4.5), dpi=120, layout="constrained")
    left.plot(drawn.sizes, [100 * share for share in drawn.coverage], "o-", color="tab:blue")
    left.set(xscale="log", xlabel="draft vocabulary size K", ylabel="coverage on held-out prompts (%)", title=title)
    _label_sizes(left, drawn.sizes)
    right = left.twinx()
    right.plot(drawn.sizes, drawn.block_efficiency, "s-", color="tab:orange")
    right.set_ylabel(f"block efficiency τ at draft length {plan.draft_length}")
    left.yaxis.label.set_color("tab:blue")
    right.yaxis.label.set_color("tab:orange")
    left.axvline(plan.draft_vocab_size, color="grey", linestyle="--", linewidth=1)
    left.annotate(f"plan: {plan.draft_vocab_size:,}", (plan.draft_vocab_size, left.get_ylim()[0]), rotation=90,
                  textcoords="offset points", xytext=(4, 6), color="grey", fontsize=8)  # fmt: skip
    with replacing_file(path) as temporary:
        figure.savefig(temporary, format="png")
    pyplot.close(figure)


def _label_sizes(axes: object, sizes: Sequence[int]) -> None:
    """Plain numbers under every second point."""
    shown = sizes[::2]
    axes.set_xticks(shown, [f"{size // 1024}k" if size >= 1024 else str(size) for size in shown])  # type: ignore[attr-defined]
    axes.minorticks_off()  # type: ignore[attr-defined]
    axes.grid(visible=True, alpha=0.3)  # type: ignore[attr-defined]


def draw_balanced(curve: Sequence[Weighed], tried: Sequence[Weighed], chosen: Weighed, path: Path) -> None:
    """Write a PNG of four panels: coverage, latency reduction and utility against size, and the Pareto front."""
    try:
        import matplotlib
    except ImportError as error:
        raise MissingExtraError("matplotlib", "export") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(2, 2, figsize=(12, 8), dpi=120, layout="constrained")
    titles = {"coverage": "token coverage C", "latency_reduction": "latency reduction R", "utility": "utility U"}
    for axes, (name, title) in zip(panels.flat, titles.items(), strict=False):
        axes.plot([each.size for each in curve], [getattr(each, name) for each in curve], color="tab:blue")
        axes.plot([each.size for each in tried], [getattr(each, name) for each in tried], ".", color="tab:orange")
        axes.axvline(chosen.size, color="grey", linestyle="--", linewidth=1)
        axes.set(xscale="log", xlabel="draft vocabulary size K", ylabel=title, title=title)
        axes.grid(visible=True, alpha=0.3)
    front = panels[1, 1]
    front.plot([each.latency_reduction for each in curve], [each.coverage for each in curve], color="tab:blue")
    points = {"x": [each.latency_reduction for each in tried], "y": [each.coverage for each in tried]}
    dots = front.scatter(**points, c=[each.size for each in tried], s=18, label="tried by TPE", zorder=3)
    figure.colorbar(dots, ax=front, label="draft vocabulary size K")
    label = f"chosen: {chosen.size:,}"
    front.scatter([chosen.latency_reduction], [chosen.coverage], marker="*", s=160, color="red", label=label, zorder=4)
    front.set(xlabel="latency reduction R", ylabel="token coverage C", title="Pareto front")
    front.legend(loc="lower left")
    front.grid(visible=True, alpha=0.3)
    with replacing_file(path) as temporary:
        figure.savefig(temporary, format="png")
    pyplot.close(figure)
