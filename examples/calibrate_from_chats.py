"""Export a bundle whose draft vocabulary fits your own chats: count their tokens, then rank by the counts.

python examples/calibrate_from_chats.py TARGET DRAFTER CHATS.jsonl BUNDLE

A line of CHATS.jsonl is {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}.
"""

import sys
from pathlib import Path

import edgedraft
from edgedraft.exporter.pipeline.count import CountRequest, count


def main(target: str, drafter: str, chats: str, output: str) -> None:
    """Count the assistant's tokens in the chats, then export by these counts."""
    counts = Path(f"{output}-counts.safetensors")
    tally = count(CountRequest(data=chats, target=target, output=counts))
    print(f"{tally.counts.tokens:,} tokens of {tally.report.turns:,} answers counted")
    request = edgedraft.ExportRequest(
        target=target,
        drafter=drafter,
        target_precisions=("fp32",),
        drafter_precisions=("fp32",),
        prompts=chats,  # both models also answer these chats, without their last answers
        rank_by=("text", "target"),  # the target's own answers break ties
        text_counts=counts,
        output=output,
    )
    calibration = edgedraft.export(request).manifest.calibration
    print(f"The draft vocabulary covers {calibration.coverage:.1%} of the target's tokens on held-out chats.")


if __name__ == "__main__":
    main(*sys.argv[1:])
