"""What a watch shows: one screen that stays where it is, or a line for each state."""

from __future__ import annotations

from collections import Counter

from rich.console import Console, Group
from rich.text import Text

from tutorial.check.report import COLOURS, SITE, chapter
from tutorial.check.tasks import Task
from tutorial.check.verdict import Failure, Kind, TaskResult
from tutorial.doctor.mistakes import printable
from tutorial.stages import Stage
from tutorial.watch.session import Save, Session


def address(stage: Stage, task: Task | None) -> str:
    """Where the site says more: the task's paragraph, or the chapter."""
    read = task.read if task else stage.chapter
    return SITE + read.replace(".md", ".html")


def status_of(session: Session, task: Task) -> tuple[str, bool]:
    """How a task did, and whether that was in the newest save."""
    save = session.save
    result = save.results.get(task) if save else None
    if result and result.status != "not reached":
        return result.status, True
    return session.known.get(task, "not reached"), False


def line(session: Session, save: Save) -> str:
    """All that is known of a save, as a line."""
    passed = Counter(result.status for result in save.results.values())["passed"]
    says = [f"save {save.number}, {save.at:%H:%M:%S}:"]
    if save.verdict:
        says.append(save.verdict.says)
    elif save.results or save.first:
        says.append(f"{passed} of {len(session.tasks)} tasks passed so far.")
    if save.failure:
        says += [f"{save.task.title}:"] if save.task else []
        says += save.failure.says.splitlines()[:1]
    elif save.first and not save.verdict:
        says.append(f"This passes: {save.first}.")
    return printable(" ".join(says))


class Screen:
    """The newest save of a session, and what the keys have asked for."""

    def __init__(self, console: Console, session: Session):
        self.console, self.session = console, session
        self.hints = 0
        self.hinted: Task | None = None  # for which task they are
        self.all_tasks = False
        self.says = ""  # a word of ours, about the last key
        self.last: Save | None = None  # that had an answer

    @property
    def task(self) -> Task | None:
        """The first task that is not done, as far as is known."""
        save = self.session.save
        if save and save.seconds is None:
            save = self.last
        return save.task if save else None

    def give_hint(self) -> None:
        """Give a hint, or a plainer one, or say why there is none."""
        task = self.task
        if task is None:
            self.says = "There is nothing to give a hint for."
        elif task is self.hinted and self.hints >= len(task.hints):
            self.says = "There are no more hints for this task."
        else:
            self.hints = self.hints + 1 if task is self.hinted else 1
            self.hinted = task

    def render(self) -> Group:
        """The whole screen, as large as the terminal is."""
        save = self.session.save
        width, height = self.console.size
        if save and save.seconds is not None:
            if save is not self.last:
                self.says = ""
            self.last = save
        head = self._head()
        foot = [Text(self.says, "yellow")] if self.says else []
        foot.append(self._keys())
        head, foot = self._wrap(head, width), self._wrap(foot, width)
        room = max(0, height - len(head) - len(foot) - 1)
        body = self._tasks(width, room) if self.all_tasks else self._body(width, room)
        body = body[:room]
        body += [Text("")] * (room - len(body))
        lines = [*head, *body, *foot][: height - 1]
        return Group(*lines)

    def _wrap(self, lines: list[Text], width: int) -> list[Text]:
        found = []
        for text in lines:
            found += text.wrap(self.console, width) if text else [Text("")]
        return found

    # --- Above: how far ---------------------------------------------------------

    def _head(self) -> list[Text]:
        session, save = self.session, self.session.save
        title = Text(f"{session.stage.name}  ", "bold")
        title.append(printable(str(session.folder)), "dim")
        own = [task for task in session.tasks if task.stage == session.stage.id]
        before = [task for task in session.tasks if task.stage != session.stage.id]
        bar = Text("Its tasks  ")
        for task in own:
            bar.append_text(self._cell(task))
        bar.append(f"  {self._passed(own)} of {len(own)}")
        if before:
            passed = self._passed(before)
            bar.append(f"   Before it  {passed} of {len(before)}", "dim")
        return [title, bar, self._state(save), Text("")]

    def _passed(self, tasks: list[Task]) -> int:
        return [status_of(self.session, task)[0] for task in tasks].count("passed")

    def _cell(self, task: Task) -> Text:
        status, new = status_of(self.session, task)
        plain = self.console.options.ascii_only
        sign = {"passed": "#" if plain else "\N{FULL BLOCK}", "failed": "x"}
        style = COLOURS[status]
        return Text(sign.get(status, "-"), style if new else f"dim {style}")

    def _state(self, save: Save | None) -> Text:
        """Which save this is about, and how far that is judged."""
        if save is None:
            return Text("Your folder is copied.", "dim")
        when = f"Save {save.number}, {save.at:%H:%M:%S}"
        if save.doing:
            return Text(f"{when}: {save.doing}", "yellow")
        if save.verdict:
            right = save.kind is Kind.RIGHT
            says = f"{when}: {save.verdict.says}"
            return Text(says, COLOURS["passed" if right else "failed"])
        why = ", since Python cannot read it" if save.kind is Kind.NOT_STARTED else ""
        return Text(f"{when}: not tried{why}", "yellow")

    # --- Between: the first task that is not done --------------------------------

    def _body(self, width: int, room: int) -> list[Text]:
        save = self.session.save
        shown, old = save, False
        if save and save.seconds is None and self.last:
            shown, old = self.last, True
        if shown is None or shown.failure is None:
            return self._wrap(self._well(shown, old), width)
        return self._failure(shown, shown.failure, old, width, room)

    def _well(self, shown: Save | None, old: bool) -> list[Text]:
        if shown is None:
            return [Text("At each save of yours, this says what is next.")]
        if old or shown.doing:
            says = "Nothing has failed so far."
            says += f" This passes: {shown.first}." if shown.first else ""
            return [Text(says, "dim" if old else "")]
        lines = [Text("All is done.", COLOURS["passed"])]
        lines += [Text(printable(note)) for note in shown.notes]
        return lines

    def _failure(
        self, shown: Save, failure: Failure, old: bool, width: int, room: int
    ) -> list[Text]:
        dim = "dim" if old else ""
        task = shown.task
        lines = []
        if old:
            lines.append(Text(f"Of save {shown.number}, before this one:", "dim"))
        if task:
            lines.append(Text(task.title, dim or COLOURS["failed"]))
            if shown.hasty and task.in_browser:
                says = "After a short wait. Now it is tried again, with more patience."
                lines.append(Text(says, "dim"))
        lines.append(Text(failure.says, dim))
        lines += [Text(f"Perhaps: {mistake}", dim) for mistake in failure.mistakes]
        if task is not self.hinted:
            self.hints, self.hinted = 0, task
        if task:
            lines += [Text(f"Hint: {hint}", dim) for hint in task.hints[: self.hints]]
        lines = self._wrap(lines, width)
        end = [Text("")]
        url = address(self.session.stage, task)
        end.append(Text(f"Read, by o or while make read runs: {url}", dim))
        end = self._wrap(end, width)
        blocks = [
            ("What was sent, and what came:", failure.wire),
            (
                f"The last lines of {failure.server}:" if failure.server else "There:",
                failure.output,
            ),
        ]
        left = room - len(lines) - len(end)
        for number, (title, block) in enumerate(blocks):
            # The first leaves half of the room to the second, if that needs it.
            share = left
            if number == 0 and blocks[1][1]:
                share = max(left // 2, left - 2 - len(blocks[1][1]))
            if not block or share < 3:
                continue
            cut = [Text(f"    {part}"[: width - 1], "dim") for part in block]
            cut = cut[-(share - 2) :]
            lines += [Text(""), Text(title, dim or "bold"), *cut]
            left -= 2 + len(cut)
        return [*lines[: room - len(end)], *end]

    # --- or all tasks -------------------------------------------------------------

    def _tasks(self, width: int, room: int) -> list[Text]:
        """All tasks, in as many columns as they need."""
        entries: list[Text] = []
        heading = ""
        for task in self.session.tasks:
            if (title := chapter(TaskResult(task))) != heading:
                heading = title
                entries.append(Text(title, "bold"))
            status, new = status_of(self.session, task)
            words = status if new or status == "not reached" else f"{status} before"
            style = COLOURS[status] if new else "dim"
            entry = Text(f"  {words:14} ", style)
            entries.append(entry.append(task.title, "" if new else "dim"))
        columns = -(-len(entries) // max(1, room))
        rows = -(-len(entries) // max(1, columns))
        each = width // max(1, columns)
        lines = [Text("") for _ in range(rows)]
        for number, entry in enumerate(entries):
            entry.truncate(each - 1, overflow="ellipsis")
            entry.pad_right(max(0, each - len(entry)))
            lines[number % rows].append_text(entry)
        return lines

    # --- Below: the keys ------------------------------------------------------------

    def _keys(self) -> Text:
        keys = Text()
        save = self.session.save
        offers = [("h", "hint"), ("a", "back" if self.all_tasks else "all tasks")]
        offers.append(("o", "open the paragraph"))
        if save and save.kind is Kind.RIGHT:
            offers.append(("n", "next stage"))
        for key, what in [*offers, ("q", "end")]:
            keys.append(f" {key} ", "reverse").append(f" {what}   ")
        return keys
