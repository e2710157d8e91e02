"""What the tests have told so far, and the verdict that follows from it."""

from __future__ import annotations

from tutorial.check.lanes import Lane
from tutorial.check.tasks import Task, cause, task_of
from tutorial.check.verdict import Failure, Kind, Result, Verdict

# Why a task was not reached.
WHY = {
    Kind.WRONG: "the check ended soon after the first failure",
    Kind.NOTHING: "there is no project",
    Kind.NOT_STARTED: "it did not start",
    Kind.STOPPED: "it stopped answering",
    Kind.TOOL: "the check itself failed",
}


def words_of(test: str) -> str:
    """What a test is about, by its id."""
    name = test.rpartition("::")[2].partition("[")[0]
    return name.removeprefix("test_").replace("_", " ")


class Tally:
    """The results of a check, task by task, and whom each failure blames."""

    def __init__(self, verdict: Verdict):
        self.verdict = verdict
        self.failures: list[Failure] = []
        self.excused: set[Task] = set()  # that failed by the fault of another
        self.ended: tuple | None = None  # how the servers did while a browser looked
        self.failed = False  # did a test that needs no browser?
        self.at = ""  # the test that runs
        self.done = 0  # how many tests are
        self.known: set[str] = set()  # tests that there are
        self.left_out: set[str] = set()

    @property
    def doing(self) -> str:
        """How far it is, and what the test is about that runs."""
        return f"{self.done} of {len(self.known)} tests: {words_of(self.at)}"

    def collect(self, lane: Lane, tests: list[str], left_out: list[str]) -> None:
        """Take down which tests a lane will run, or another one that has them, too."""
        self.left_out |= {test for test in left_out if self._may_tell(lane, test)}
        self.verdict.left_out = len(self.left_out)
        for test in {test for test in tests if self._may_tell(lane, test)} - self.known:
            self.known.add(test)
            self.verdict.of(task_of(test)).tests += 1

    def _may_tell(self, lane: Lane, test: str) -> bool:
        """Their code runs in the process that looks inside, and might tell anything."""
        return not lane.inside or task_of(test).inside

    def not_judged(self, says: str) -> None:
        """Take down why no more is known of what is inside the folder."""
        for result in self.verdict.tasks:
            if result.task.inside and result.status == "not reached":
                result.tests += not result.tests
                result.results.append(Result("", "not judged", 0.0, says))

    def take(
        self,
        lane: Lane,
        test: str,
        outcome: str,
        seconds: float,
        failure: dict | None,
        says: str = "",
        blames: str = "",
    ) -> None:
        """Take down how a test ended. `blames` is the task at fault, if not its own."""
        self.done += 1
        task = task_of(test)
        if not self._may_tell(lane, test):
            return
        says = failure["says"] if failure else says
        result = Result(test, outcome, seconds, says)
        own = self.verdict.of(task)
        own.results.append(result)
        if not failure:
            return
        blamed = next((one for one in self.verdict.tasks if one.task.id == blames), own)
        if blamed is not own:
            task, own.cause = blamed.task, blamed.task
            blamed.results.append(result)
            self.excused.add(own.task)
        kind = Kind(failure.pop("kind"))
        found = Failure(test=test, **failure)
        self.failures.append(found)
        if kind is Kind.TOOL:
            # What else is known, is known of the folder.
            own.results.clear()
            self.ended = self.ended or (kind, found, None)
            return
        self.failed = self.failed or not task.in_browser
        self._blame()
        if kind is Kind.WRONG:
            return
        ended = (kind, found, task if lane.started else None)
        if not lane.started:
            # No fault of the task that happened to be the first.
            own.results.clear()
        if task.in_browser:
            # The contract may say more plainly what is wrong. It will not be long.
            self.ended = ended
        else:
            self.verdict.conclude(*ended)

    def _blame(self) -> None:
        """One fault, one task: say of each other task which failure it follows from."""
        failed = {
            one.task
            for one in self.verdict.tasks
            if any(result.outcome == "failed" for result in one.results)
            and one.task not in self.excused
        }
        for one in self.verdict.tasks:
            one.cause = cause(one.task, failed) or one.cause

    def sum_up(self, whole: bool) -> None:
        """Say what all the results come to. Was the `whole` of the stage asked?"""
        verdict = self.verdict
        asked = [result for result in verdict.tasks if result.tests or result.results]
        failed = [result for result in asked if result.status == "failed"]
        done = all(
            result.status == "passed" or (result.status == "not judged" and result.says)
            for result in asked
        )
        if whole:
            verdict.tasks = asked
        if self.ended and not self.failed:
            verdict.conclude(*self.ended)
        elif failed:
            tests = [one.test for one in failed[0].results if one.outcome == "failed"]
            first = next(one for one in self.failures if one.test in tests)
            verdict.conclude(Kind.WRONG, first, failed[0].task)
        elif not asked or not done:
            verdict.conclude(Kind.TOOL, Failure("Not all of the tests were run."))
        elif not whole:
            says = "There is no chatserver.py beside manage.py. Chapter 2 makes it."
            verdict.conclude(Kind.NOT_STARTED, Failure(says))
        else:
            verdict.kind = Kind.RIGHT

    def say_why(self, to_the_end: bool) -> None:
        """Say of each task that was not reached why it was not."""
        for result in self.verdict.tasks:
            result.reason = WHY.get(self.verdict.kind, "")
            if result.task.in_browser and self.failed and not to_the_end:
                result.reason = "a browser looks when the tasks above are passed"
