"""Run programs side by side: CPU seconds, memory and what is reached, each row in a process of its own.

CPU seconds (user + system) are those of the task alone after a small warm-up, so that loading libraries and
compiled code (numba) is not counted; peak memory is that of the whole process, imports and data included
(Linux). One thread. A benchmark gives its groups of rows to `main`.
"""

import argparse
import contextlib
import io
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS")

Run = Callable[[], str]


@dataclass(frozen=True)
class Row:
    """One line: a program, how it is prepared, what its seconds are multiplied by, and whether it needs the
    other environment. `prepare(small)` gives the task, on a few rows when it is only a warm-up."""

    tool: str
    prepare: Callable[[bool], Run]
    times: float = 1.0
    peer: bool = False


@dataclass(frozen=True)
class Group:
    """Rows that do the same task; needs: a file without which they cannot run."""

    said: str
    rows: Sequence[Row]
    needs: Path | None = None


Groups = Mapping[str, Group]


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _measure(row: Row) -> dict[str, Any]:
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        row.prepare(True)()
        run = row.prepare(False)
        before, wall, memory = cpu(), time.perf_counter(), peak_mb()
        result = run()
    return {
        "cpu": (cpu() - before) * row.times,
        "wall": (time.perf_counter() - wall) * row.times,
        "peak_mb": peak_mb(),
        "more_mb": peak_mb() - memory,
        "result": result,
    }


def _measured(command: Sequence[str], options: argparse.Namespace) -> dict[str, Any] | str:
    environment = os.environ | dict.fromkeys(THREADS, "1") | {"TQDM_DISABLE": "1"}
    runs: list[dict[str, Any]] = []
    for _ in range(options.repeats):
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if done.returncode == -signal.SIGXCPU:
            return f"more than {options.limit}"
        if done.returncode:
            return "failed: " + (done.stderr.strip().splitlines() or ["no message"])[-1]
        runs.append(json.loads(done.stdout.strip().splitlines()[-1]))
        if runs[-1]["cpu"] > options.once:
            break
    middle = {key: statistics.median(run[key] for run in runs) for key in runs[0] if key != "result"}
    return middle | {"result": runs[0]["result"]}


def _seconds(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}"


def _table(script: str, name: str, group: Group, options: argparse.Namespace) -> None:
    print(f"\n{group.said}\n\n| tool | CPU seconds | of qieval's | peak MB (of the task) | result |")
    print("|---|---|---|---|---|")
    first = None
    for place, row in enumerate(group.rows):
        if row.peer and not options.peers:
            print(f"| {row.tool} | not installed (--peers) | | | |", flush=True)
            continue
        python = options.peers if row.peer else sys.executable
        found = _measured([python, script, "--limit", str(options.limit), "--one", name, str(place)], options)
        if isinstance(found, str):
            print(f"| {row.tool} | {found} | | | |", flush=True)
            continue
        first = found["cpu"] if first is None else first
        memory = f"{found['peak_mb']:.0f} ({found['more_mb']:.0f})"
        cells = (_seconds(found["cpu"]), _seconds(found["cpu"] / first), memory)
        print(f"| {row.tool} | {' | '.join(cells)} | {found['result']} |", flush=True)


def main(script: str, words: str | None, groups: Groups) -> None:
    """Read the command line of a benchmark and print a table for each group (or run one row, for itself)."""
    parser = argparse.ArgumentParser(description=words)
    parser.add_argument("--peers", help="python of an environment that holds the other packages")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit", type=int, default=300, help="CPU seconds at which a row is stopped")
    parser.add_argument("--once", type=float, default=20.0, help="CPU seconds: no row is repeated from there")
    parser.add_argument("--only", default="", help="groups whose name or description holds these words")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        resource.setrlimit(resource.RLIMIT_CPU, (options.limit, options.limit + 5))
        print(json.dumps(_measure(groups[options.one[0]].rows[int(options.one[1])])))
        return
    print(f"One thread, median of {options.repeats} runs, each in a process of its own")
    for name, group in groups.items():
        if options.only not in f"{name}: {group.said}":
            continue
        if group.needs is not None and not group.needs.is_file():
            print(f"\n{group.said}\n\nnot run: {group.needs.name} is not beside the repository")
            continue
        _table(script, name, group, options)
