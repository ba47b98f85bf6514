"""edgedraft bench: is speculation worth it with this bundle, on this machine, on these prompts?"""

import argparse
from pathlib import Path

from edgedraft.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of bench."""
    from edgedraft.commands._options import add_bundle_arguments, add_report_argument, positive, set_defaults
    from edgedraft.exporter.pipeline.requests import BenchRequest

    add_bundle_arguments(parser)
    parser.add_argument("--prompts", type=Path, metavar="FILE", help="JSON lines, Spec-Bench's included")
    text = "prompts to run (default: all of --prompts, 8 of the packaged ones)"
    parser.add_argument("-n", "--number", type=positive, metavar="N", help=text)
    names = ("--max-new-tokens", "--max-tokens")
    parser.add_argument(*names, type=positive, metavar="N", help="per prompt (default: %(default)s)")
    parser.add_argument("--draft-length", type=positive, metavar="N", help="default: the plan's")
    text = "policies beside fixed; default: adaptive"
    parser.add_argument("--policy", action="append", dest="policies", metavar="NAME", help=text)
    parser.add_argument("--full-drafter", type=Path, metavar="FOLDER", help="untrimmed drafter (ONNX) to compare with")
    add_report_argument(parser)
    set_defaults(parser, BenchRequest)
    parser.set_defaults(policies=[])  # argparse appends to a default instead of replacing it


def run(options: argparse.Namespace, console: Console) -> None:
    """Measure and show."""
    from edgedraft.commands._options import request_of
    from edgedraft.commands._show import show_measurement
    from edgedraft.commands.kernels import note_if_not_built
    from edgedraft.exporter.pages.bench_page import bench_figures
    from edgedraft.exporter.pages.writing import reporting
    from edgedraft.exporter.pipeline.bench import bench_bundle
    from edgedraft.exporter.pipeline.requests import BenchRequest

    note_if_not_built(console)
    request = request_of(BenchRequest, options)
    with reporting(options.report, f"edgedraft bench {options.bundle}", console.recording, console.note) as figures:
        measurement = bench_bundle(request, console.progress, console.note)
        show_measurement(console, measurement)
        figures += bench_figures(measurement)
    console.result(measurement)
