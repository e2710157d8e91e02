"""What stands for a learner in a class's folder, and the project that is in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tutorial.check.copies import Unfit, workspace
from tutorial.check.verdict import Verdict
from tutorial.doctor.checks import archives_in, is_archive, is_file, nearby_projects
from tutorial.doctor.mistakes import printable
from tutorial.grading.unpack import unpack


def learners_in(folder: Path) -> list[Path]:
    """What stands for a learner in a class's folder, by name. Raises OSError.

    That is each sub-folder, or a link to one, or what was meant to be one: an archive,
    a link to nothing. Nobody is left out without a word.
    """
    return sorted(
        one
        for one in folder.iterdir()
        if not one.name.startswith((".", "__MACOSX"))
        and (
            os.path.isdir(one)  # noqa: PTH112
            or is_archive(one)
            or (one.is_symlink() and not one.exists())
        )
    )


def project_in(folder: Path) -> Path:
    """Where the project of a learner is: archives often hold a folder in a folder."""
    below = [one for one in nearby_projects(folder) if folder in one.parents]
    if not is_file(folder / "manage.py") and len(below) == 1:
        return below[0]
    return folder


def archive_of(handin: Path) -> Path | None:
    """The archive that has to be unpacked to come to the project, if there is one.

    Moodle makes a folder of each learner's files, and the archive is in that. Raises
    Unfit where there are two.
    """
    if is_archive(handin):
        return handin
    found = archives_in(handin)
    project = project_in(handin)
    if not found or is_file(project / "manage.py"):
        return None
    if len(found) > 1:
        names = " and ".join(printable(one.name) for one in found[:3])
        says = f"It holds {len(found)} archives, {names}. Which is it? Leave that one."
        raise Unfit("nothing", says)
    return found[0]


@contextmanager
def opened(handin: Path) -> Iterator[Path]:
    """The folder of the project in what was handed in, unpacked if it has to be.

    Raises Unfit, with a sentence, for what cannot be unpacked.
    """
    archive = archive_of(handin)
    if archive is None:
        yield project_in(handin)
        return
    with workspace() as work:
        unpack(archive, work / "handed-in")
        yield project_in(work / "handed-in")


def conceal(verdict: Verdict, project: Path, handin: Path) -> None:
    """Have a verdict speak of what was handed in, and not of where it was unpacked."""
    if project.is_relative_to(handin):
        return
    verdict.folder = handin
    place = next(one for one in (project, *project.parents) if one.name == "handed-in")

    def shown(text: str) -> str:
        return text.replace(str(place), printable(handin.name))

    verdict.notes[:] = map(shown, verdict.notes)
    if found := verdict.failure:
        verdict.failure = replace(
            found, says=shown(found.says), output=[*map(shown, found.output)]
        )
    for result in verdict.tasks:
        result.results[:] = [
            replace(one, says=shown(one.says)) for one in result.results
        ]
