"""Run parts of the campaign and print a table of what they tried and what they found.

python -m tests.campaign --minutes 10 --jobs 2
python -m tests.campaign --minutes 3 --part rasters vectors
python -m tests.campaign --part rasters --seed 1 --case 123  # repeat one case, keep its files
"""

from __future__ import annotations

import argparse
import sys

from tests.campaign.runner import PARTS, Results, Workers, table


def main() -> int:
    """Run the parts, print each finding as it comes, then the table."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.campaign",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART",
                        help=f"parts to run, of {', '.join(PARTS)} (default: all)")  # fmt: skip
    parser.add_argument("--minutes", type=float, default=1, help="time of each part (default: 1)")
    parser.add_argument("--cases", type=int, help="largest number of cases of each part")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="seed (default: 0)")
    parser.add_argument("--case", type=int, help="the only case to try; its files are kept")
    options = parser.parse_args()
    results = []
    with Workers(options.jobs) as workers:
        for name in options.part:
            result = Results(name)
            results.append(result)
            for _, findings in workers.run(
                name,
                seed=options.seed,
                seconds=60 * options.minutes,
                cases=options.cases,
                only=options.case,
            ):
                result.add(findings)
                for finding in findings:
                    print(finding, flush=True)
            print(f"{name}: {result.tried:,} tried", file=sys.stderr)
    print(table(results))
    return int(any(result.kinds for result in results))


if __name__ == "__main__":
    sys.exit(main())
