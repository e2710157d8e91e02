"""A class's marks: judge what has changed, and write what goes back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tutorial.check.verdict import Verdict
from tutorial.doctor.mistakes import printable
from tutorial.grading import feedback, tables
from tutorial.grading.names import Learner
from tutorial.grading.points import Mark, Points, mark
from tutorial.grading.records import Records
from tutorial.grading.tables import Row

NOTHING = "Nothing was handed in."


@dataclass
class Gradebook:
    """Where the marks of a class go: the folder `into`, by the template `lms`."""

    into: Path
    learners: list[Learner]
    points: Points
    records: Records
    lms: str
    hints: int = 0
    kept: set[Path] = field(default_factory=set)  # whose verdict is

    @property
    def table(self) -> Path:
        """The CSV that the gradebook imports."""
        return self.into / "grades.csv"

    @property
    def by_handin(self) -> dict[Path, Learner]:
        """Whose each hand-in is."""
        return {one.handin: one for one in self.learners if one.handin}

    def known(self) -> dict[Path, Verdict]:
        """The verdicts on all that has not changed since it was judged."""
        found = {
            handin: self.records.get(one.key, handin)
            for handin, one in self.by_handin.items()
        }
        found = {handin: verdict for handin, verdict in found.items() if verdict}
        self.kept |= {*found}
        return found

    def keep(self, done: dict[Path, Verdict]) -> None:
        """Keep those verdicts that are new, for the next time. Raises OSError."""
        for handin, verdict in [*done.items()]:
            if handin not in self.kept:
                self.kept.add(handin)
                self.records.put(self.by_handin[handin].key, handin, verdict)

    def row(self, learner: Learner, verdict: Verdict | None, word: str) -> Row:
        """What becomes of one learner."""
        if verdict is None:
            earned = Mark(self.points.missing, {}, NOTHING)
            return Row(learner, earned, None, "nothing handed in", NOTHING)
        title = verdict.task.title if verdict.task else ""
        says = feedback.comment(verdict.says, title)
        earned = mark(verdict, self.points)
        return Row(learner, earned, verdict, word, says)

    def rows(self, done: dict[Path, Verdict], words: dict) -> list[Row]:
        """All of the class, in order. `words` has one for each kind of verdict."""
        found = []
        for one in self.learners:
            verdict = done.get(one.handin)
            found.append(self.row(one, verdict, verdict and words[verdict.kind]))
        return found

    def write(self, rows: list[Row]) -> list[str]:
        """Write the CSV and the feedback. Returns who is not in the CSV, and why.

        Raises OSError.
        """
        folder = self.into / "feedback"
        folder.mkdir(parents=True, exist_ok=True)
        text = tables.write(rows, self.lms, self.points)
        self.table.write_bytes(text.encode("utf-8"))
        for row in rows:
            for ending, form in (
                ("html", feedback.as_html),
                ("md", feedback.as_markdown),
            ):
                path = folder / f"{row.learner.key}.{ending}"
                if row.verdict:
                    content = form(row, self.points, self.hints)
                    path.write_bytes(content.encode("utf-8", "replace"))
                else:
                    path.unlink(missing_ok=True)
        out = []
        for row in rows:
            if why := tables.left_out(row, self.lms, self.points):
                name = (
                    row.learner.handin.name if row.learner.handin else row.learner.key
                )
                out.append(f"{printable(name)}: {why}")
        return out
