"""Export a bundle for this machine from two models, and measure whether speculation is faster here.

python examples/export_and_bench.py TARGET DRAFTER PROMPTS.jsonl BUNDLE

The precisions are fp32 here because that also suits ONNX folders and tiny models. Leave them out for the default, int4.
"""

import sys

import edgedraft


def show(what: str, done: int, total: int) -> None:
    """Show one line of progress."""
    print(f"\r{what}: {done}/{total}", end="", file=sys.stderr, flush=True)


def main(target: str, drafter: str, prompts: str, output: str) -> None:
    """Export, bench, and print the plan and the measured speed-ups."""
    request = edgedraft.ExportRequest(
        target=target,
        drafter=drafter,
        target_precisions=("fp32",),
        drafter_precisions=("fp32",),
        prompts=prompts,
        output=output,
    )
    bundle = edgedraft.export(request, progress=show)
    plan = bundle.manifest.plan
    print(f"{bundle.path}: {plan.draft_vocab_size:,} draft tokens, draft length {plan.draft_length}: {plan.reason}")
    measurement = edgedraft.bench(
        edgedraft.BenchRequest(bundle=bundle.path, prompts=prompts, number=4, max_new_tokens=32), progress=show
    )
    for name, way in measurement.report.ways.items():
        print(f"{name}: {way.tokens_per_second.value:.1f} tokens/s, {way.speed_up.value:.2f} times the target alone")


if __name__ == "__main__":
    main(*sys.argv[1:])
