"""The trust suite as a command: ``python -m tests.trust --minutes 60 --seed 1``; docs/trust.md says what it tests."""

import argparse
import sys
import time
from collections.abc import Sequence

from edgedraft.runtime.base.tables import markdown_table
from tests.trust.frame import GOOD, Kind, Score, Verdict, all_kinds, repeat, run

_HEADER = ("kind", "trials", "of", *Verdict, "seconds")


def parser(names: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of the suite's options."""
    made = argparse.ArgumentParser(prog="python -m tests.trust", description=__doc__)
    made.add_argument("--minutes", type=float, default=1.0, help="stop after so long (default: %(default)s)")
    made.add_argument("--seed", type=int, default=1, help="decides every trial (default: %(default)s)")
    made.add_argument("--only", type=lambda text: text.split(","), metavar="KIND,...", help=f"of {', '.join(names)}")
    made.add_argument("--trial", type=int, metavar="N", help="repeat this trial alone, of the one kind in --only")
    return made


def chosen(kinds: Sequence[Kind], names: Sequence[str] | None) -> list[Kind]:
    """Return the kinds with these names, all without; a name that does not exist ends the command."""
    known = {each.name: each for each in kinds}
    unknown = sorted(set(names or ()) - set(known))
    if unknown:
        sys.exit(f"--only: expected some of {', '.join(known)}, got {', '.join(unknown)}")
    return [each for name, each in known.items() if names is None or name in names]


def report(scores: Sequence[Score], seed: int) -> list[str]:
    """Return the table, and a line for every trial that broke its promise."""
    rows = [_row(each.kind.name, str(each.kind.trials), [each]) for each in scores]
    lines = markdown_table(_HEADER, [*rows, _row("all", str(sum(each.kind.trials for each in scores)), scores)])
    for failure in (failure for each in scores for failure in each.failures):
        again = f"python -m tests.trust --only {failure.kind} --seed {seed} --trial {failure.number}"
        lines.append(f"{failure.verdict}: {failure.reason} - repeat with {again}")
    return lines


def _row(name: str, trials: str, scores: Sequence[Score]) -> tuple[str, ...]:
    verdicts = (sum(each.verdicts[verdict] for each in scores) for verdict in Verdict)
    seconds = sum(each.seconds for each in scores)
    return (name, str(sum(each.trials for each in scores)), trials, *map(str, verdicts), f"{seconds:.0f}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite; return 0 where every trial held or was refused."""
    kinds = all_kinds()
    options = parser([each.name for each in kinds]).parse_args(arguments)
    kinds = chosen(kinds, options.only)
    if options.trial is not None:
        if len(kinds) != 1:
            sys.exit("--trial: expected one kind in --only")
        scores = [repeat(kinds[0], options.seed, options.trial)]
    else:
        scores = run(kinds, options.seed, options.minutes * 60, time.monotonic)
    print(f"seed {options.seed}, {options.minutes:g} minutes")
    print("\n".join(report(scores, options.seed)))
    return 0 if all(sum(each.verdicts[verdict] for verdict in GOOD) == each.trials for each in scores) else 1


if __name__ == "__main__":
    sys.exit(main())
