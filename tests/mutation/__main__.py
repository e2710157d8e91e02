"""Make mistakes in the snapshots, by a program, and see which the tests notice."""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from tests.mutation.edits import Mutant
from tests.mutation.judging import Outcome, judge_folder, judge_mutant
from tests.mutation.snapshots import (
    KINDS,
    kind_of,
    load_equivalents,
    mutants_in,
    why_equivalent,
)
from tutorial.doctor.checks import find_browser
from tutorial.stages import Stage, find_stage, load_snapshots

console = Console(highlight=False, markup=False, soft_wrap=True)


class NotRight(click.ClickException):
    """Something is not as it has to be before mutants tell anything."""

    exit_code = 2


@dataclass(frozen=True)
class Judged:
    """A mutant of a snapshot, and what came of it: killed, survived or equivalent."""

    stage: Stage
    mutant: Mutant
    status: str
    why: str = ""  # the reason, or what the test said
    test: str = ""
    seconds: float = 0.0

    def as_json(self) -> dict:
        """All of it, for a program."""
        return {
            "stage": self.stage.id,
            "file": self.mutant.file,
            "line": self.mutant.line,
            "kind": self.mutant.edit.kind,
            "was": self.mutant.was,
            "becomes": self.mutant.becomes,
            "status": self.status,
            "why": self.why,
            "test": self.test,
            "seconds": self.seconds,
        }


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("stages", nargs=-1, metavar="STAGE...")
@click.option("--seed", type=int, help="Which lot decides; without it, a new one.")
@click.option("--sample", type=int, help="Judge so many of each snapshot, by lot.")
@click.option(
    "--jobs", type=int, default=os.cpu_count() or 1, help="So many side by side."
)
@click.option(
    "--only",
    multiple=True,
    metavar="FILE",
    help="Only these files (chatserver.py), or kinds of files (server). Repeatable.",
)
@click.option("--all", "whole", is_flag=True, help="Files that are not new, too.")
@click.option(
    "--new", is_flag=True, help="No mutant that the snapshot before has as well."
)
@click.option("--line", "lines", multiple=True, type=int, help="Only of these lines.")
@click.option("--no-browser", is_flag=True, help="Without the tests in a browser.")
@click.option("--thorough", is_flag=True, help="With the tests that `--all` adds.")
@click.option(
    "--quick",
    is_flag=True,
    help="Only by the tests that see the file best: for a server those of the "
    "contract, for a page those in a browser. Judge what survives --again without it.",
)
@click.option("--list", "listing", is_flag=True, help="Print the mutants, judge none.")
@click.option("--diff", is_flag=True, help="Print survivors, or the list, as diffs.")
@click.option("--json", "to", type=Path, metavar="FILE", help="Write all of it here.")
@click.option(
    "--again",
    type=Path,
    metavar="FILE",
    help="Judge only what survived in the run that wrote this JSON.",
)
def main(stages, seed, sample, jobs, only, whole, new, lines, **options):
    """Make mistakes in the code of each STAGE (1, 2, 1_rooms; without any, all).

    Each mutant is a copy of the snapshot with one small mistake, in a file that the
    snapshot adds or changes. The contract and browser tests judge it as `check` judges
    a learner's folder, until the first that fails. What none of them notices has
    survived: either a test is missing, or the page does not ask for it, or the mutant
    is none, and equivalent.toml says why.

    \b
    python -m tests.mutation 3 --only server --sample 50 --seed 1
    python -m tests.mutation 2 --only chat/static/room.js --list
    python -m tests.mutation 3 --new --json run.json
    python -m tests.mutation 3 --again run.json

    The code is 1 if a mutant survived, 2 if the command line is wrong or the snapshot
    as it stands does not pass.
    """
    seed = random.SystemRandom().randrange(10_000) if seed is None else seed
    found = []
    try:
        chosen = [find_stage(name) for name in stages] or load_snapshots()
        survivors = survived_in(options["again"])
        for stage in chosen:
            mutants = [
                (stage, mutant)
                for mutant in mutants_in(stage, whole, new, only)
                if (not lines or mutant.line in lines)
                and (
                    survivors is None
                    or (stage.id, mutant.file, mutant.was, mutant.becomes) in survivors
                )
            ]
            found += draw(mutants, sample, seed)
    except ImportError as error:
        raise NotRight(
            "Scripts and templates are read by tree-sitter. To install it, type: "
            "python tutorial/bootstrap.py mutation"
        ) from error
    except (LookupError, ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
    if options["listing"]:
        show_list(found, options["diff"])
        return
    browser = bool(find_browser()) and not options["no_browser"]
    how = browser, options["thorough"], options["quick"]
    console.print(
        f"Seed {seed}. {len(found)} mutants, {jobs} side by side, "
        f"{'with' if browser else 'without'} a browser."
    )
    began = time.monotonic()
    for stage in chosen if found and not options["quick"] else []:
        outcome = judge_folder(stage, stage.folder, browser, options["thorough"])
        if not outcome.passed:
            raise NotRight(
                f"{stage.name}, as it stands, does not pass {outcome.test}: "
                f"{outcome.says}"
            )
    judged = judge_all(found, jobs, how, options["to"], seed)
    show_table(judged)
    show_survivors(judged, options["diff"])
    console.print(f"Seed {seed}. {time.monotonic() - began:.0f} s.")
    sys.exit(any(one.status == "survived" for one in judged))


def survived_in(file: Path | None) -> set[tuple] | None:
    """The mutants that survived a run, by what makes them out; None for no run."""
    if file is None:
        return None
    return {
        (one["stage"], one["file"], one["was"], one["becomes"])
        for one in json.loads(file.read_text("utf-8"))["mutants"]
        if one["status"] == "survived"
    }


def draw(
    mutants: list[tuple[Stage, Mutant]], sample: int | None, seed: int
) -> list[tuple[Stage, Mutant]]:
    """So many of the mutants by lot, in the order of the files.

    Each has a lot of its own: where one goes or comes, the others are drawn as before.
    """
    if sample is None or sample >= len(mutants):
        return mutants
    alike: Counter = Counter()
    lots = []
    for number, (stage, mutant) in enumerate(mutants):
        name = (stage.id, mutant.file, mutant.was, mutant.becomes)
        alike[name] += 1
        lot = f"{seed} {name} {alike[name]}"
        lots.append((hashlib.sha256(lot.encode()).digest(), number))
    return [mutants[number] for number in sorted(n for _, n in sorted(lots)[:sample])]


def judge_all(
    found: list[tuple[Stage, Mutant]],
    jobs: int,
    how: tuple[bool, bool, bool],
    to: Path | None = None,
    seed: int = 0,
) -> list[Judged]:
    """Judge mutants, `jobs` at a time, and print each survivor as it is found.

    `how` is: in a browser, by the thorough tests, quickly?
    """
    equivalents, judged = load_equivalents(), []
    wanted = []
    for stage, mutant in found:
        if why := why_equivalent(stage, mutant, equivalents):
            judged.append(Judged(stage, mutant, "equivalent", why))
        else:
            wanted.append((stage, mutant))
    with ThreadPoolExecutor(jobs) as pool:
        runs = {pool.submit(judge_surely, *one, *how): one for one in wanted}
        for number, run in enumerate(as_completed(runs), 1):
            (stage, mutant), outcome = runs[run], run.result()
            one = Judged(
                stage,
                mutant,
                "survived" if outcome.passed else "killed",
                outcome.says,
                outcome.test,
                outcome.seconds,
            )
            judged.append(one)
            if one.status == "survived":
                console.print(f"[{number}/{len(runs)}] {stage.id}/{mutant}")
            if to:
                write_json(judged, to, seed)
    return judged


def judge_surely(stage: Stage, mutant: Mutant, *how: bool) -> Outcome:
    """Judge a mutant, and once more if the tests themselves did not run."""
    outcome = judge_mutant(stage, mutant, *how)
    if outcome.broken:
        outcome = judge_mutant(stage, mutant, *how)
    return outcome


def write_json(judged: list[Judged], file: Path, seed: int) -> None:
    """Write what is known so far."""
    mutants = [one.as_json() for one in judged]
    file.write_text(json.dumps({"seed": seed, "mutants": mutants}, indent=1), "utf-8")


def show_list(found: list[tuple[Stage, Mutant]], diff: bool) -> None:
    """Print mutants, with the reason where one is equivalent."""
    equivalents = load_equivalents()
    for stage, mutant in found:
        why = why_equivalent(stage, mutant, equivalents)
        console.print(
            f"{stage.id}/{mutant}" + (f"  [equivalent: {why}]" if why else "")
        )
        if diff:
            console.print(mutant.diff() + "\n")


def show_table(judged: list[Judged]) -> None:
    """Print how many were killed, by snapshot and kind of file."""
    table = Table(box=None)
    for name in (
        "snapshot",
        "files",
        "mutants",
        "equivalent",
        "killed",
        "survived",
        "",
    ):
        table.add_column(
            name, justify="left" if name in ("snapshot", "files") else "right"
        )
    for stage in {one.stage.id: one.stage for one in judged}.values():
        for kind in KINDS:
            counts = Counter(
                one.status
                for one in judged
                if one.stage == stage and kind_of(one.mutant.file) == kind
            )
            real = counts["killed"] + counts["survived"]
            if counts:
                table.add_row(
                    *[stage.id, kind, str(counts.total()), str(counts["equivalent"])],
                    *[str(counts["killed"]), str(counts["survived"])],
                    f"{counts['killed'] / real:.0%}" if real else "",
                )
    console.print(table)


def show_survivors(judged: list[Judged], diff: bool) -> None:
    """Print what no test noticed, with file, line and change."""
    survivors = [one for one in judged if one.status == "survived"]
    if survivors:
        console.print("Survived:")
    order = [(one.stage.number, one.mutant.file, one.mutant.line) for one in survivors]
    for _, one in sorted(zip(order, survivors, strict=True), key=lambda pair: pair[0]):
        console.print(f"{one.stage.id}/{one.mutant}")
        if diff:
            console.print(one.mutant.diff() + "\n")


if __name__ == "__main__":
    main(prog_name="python -m tests.mutation")
