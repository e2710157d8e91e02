"""Look inside a folder that somebody else made: its own objects, without a network.

It is loaded as `twistd` loads it, and entered by what Twisted itself calls: the
resources that answer requests, the protocols that hear sockets. So whatever the classes
in it are called, it can be asked what only its inside shows. Where it cannot, or where
a chapter's own names are needed and missing, NotJudged says what was looked for.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from types import CodeType, ModuleType
from unittest import mock

from twisted.application.service import IServiceCollection
from twisted.web.resource import getChildForRequest
from twisted.web.server import Site

from tests.support.notjudged import NotJudged
from tests.support.requests import FakeRequest
from tests.support.transport import Transport
from tests.support.whitebox import fresh_django, stage_modules

BLOCKED = 0.2  # seconds after which who does not go on, waits for a lock
STUCK = 15.0  # seconds after which nobody will go on any more
ASKED = object()  # what a function returns that has asked, and said nothing
START = 1_600_000_000.0  # what the clock of an Inside says first


class Clock:
    """Stands in for `time.time` where code below `folder` asks. Each reading is new."""

    def __init__(self, folder: Path):
        self.below = f"{folder}/"
        self.real = time.time
        self.readings = itertools.count(START)
        self.given: set[float] = set()

    def __call__(self) -> float:
        if not sys._getframe(1).f_code.co_filename.startswith(self.below):
            return self.real()
        reading = float(next(self.readings))
        self.given.add(reading)
        return reading


class Lock:
    """A lock that tells when somebody has to wait for it: by `blocked`, a function."""

    def __init__(self, real, blocked: Callable[[], None]):
        self._real, self._blocked = real, blocked

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if self._real.acquire(blocking=False):
            return True
        if not blocking:
            return False
        self._blocked()
        return self._real.acquire(blocking, timeout)

    def __enter__(self):
        return self.acquire()

    def __exit__(self, *exc) -> None:
        self.release()

    def __getattr__(self, name: str):
        return getattr(self._real, name)


class Inside:
    """The chat that chatserver.py of `folder` makes, loaded and wired, but not started.

    Use `inside()`, which makes one.
    """

    def __init__(self, folder: Path, clock: Clock, chatserver: ModuleType):
        self.folder, self.clock = folder, clock
        self.chatserver = chatserver
        self.site = self._site()
        self.numbers = itertools.count()

    def _site(self) -> Site:
        application = getattr(self.chatserver, "application", None)
        if application is None:
            raise NotJudged("chatserver.py has no `application`, which twistd starts")
        for service in IServiceCollection(application):
            for candidate in (
                getattr(service, "factory", None),
                *getattr(service, "args", ()),
            ):
                if isinstance(candidate, Site):
                    return candidate
        raise NotJudged("no service of `application` in chatserver.py has a Site")

    @property
    def modules(self) -> list[ModuleType]:
        """The modules of the folder that are loaded."""
        below = f"{self.folder}/"
        return [
            module
            for module in [*sys.modules.values()]
            if str(getattr(module, "__file__", None)).startswith(below)
        ]

    @property
    def classes(self) -> list[type]:
        """The classes that these modules define."""
        found = [
            value
            for module in self.modules
            for value in vars(module).values()
            if inspect.isclass(value) and value.__module__ == module.__name__
        ]
        return [*dict.fromkeys(found)]

    def functions(self) -> Iterator[tuple[str, object]]:
        """Every function and method that these modules define, with its name."""
        for holder in (*self.modules, *self.classes):
            for name, value in [*vars(holder).items()]:
                function = inspect.unwrap(getattr(value, "__func__", value))
                if inspect.isfunction(
                    function
                ) and function.__code__.co_filename.startswith(f"{self.folder}/"):
                    yield f"{holder.__name__}.{name}", function

    def request(self, method: str, **args: str) -> FakeRequest:
        """Let the resource at `/` answer, or park, a request."""
        request = FakeRequest(method, **args)
        request.postpath = [b""]
        resource = getChildForRequest(self.site.resource, request)
        return request.render(resource)

    def post(self, text: str) -> None:
        """Say `text` by a POST."""
        self.request("POST", new_message=text)

    def ask(self, cursor: float) -> tuple[float, str] | None:
        """Ask for the next message after `cursor`; hang up if there is none yet."""
        request = self.request("GET", lastupdate=repr(cursor))
        reply = request.reply
        if reply is None:
            request.leave()
            return None
        return reply["timestamp"], reply["data"]

    def ask_on(self, cursor: float) -> list[str]:
        """Ask until nothing comes any more, each time after the answer before."""
        texts = []
        while found := self.ask(cursor):
            cursor, text = found
            texts.append(text)
            assert len(texts) < 1000, "A poll is answered with messages without end."
        return texts

    def join(self):
        """Let a socket join; returns its protocol. Raises NotJudged if it has none."""
        request = FakeRequest("GET")
        request.postpath = [b"ws"]
        resource = getChildForRequest(self.site.resource, request)
        if not hasattr(resource, "factory"):
            raise NotJudged("what is at /ws is no WebSocketResource of Twisted")
        transport = Transport()
        request.transport = transport.tcp
        socket = resource.factory.buildProtocol(request)
        socket.negotiationStarted(transport)
        socket.negotiationFinished()
        return socket

    def new_text(self) -> str:
        """What nobody has said yet."""
        return f"message {next(self.numbers)}"

    def rehearse(self, say: Callable[[str], None]) -> None:
        """Say two things by `say`, and ask for them. Raises NotJudged if that fails."""
        try:
            cursor = self.request("POST", new_message="mark").reply["timestamp"]
            texts = [self.new_text(), self.new_text()]
            for text in texts:
                say(text)
            heard = self.ask_on(cursor)
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            raise NotJudged(f"asked without a network, it fails ({why})") from error
        if heard != texts:
            raise NotJudged("asked without a network, it does not answer as a chat")

    def _hear(self, heard: list[tuple[float, str]], cursor: float) -> None:
        if found := self.ask(cursor):
            heard.append(found)

    # --- Two at once ---------------------------------------------------------

    def codes(self) -> set[CodeType]:
        """The code of every function of the folder, with what is nested in it."""
        found, todo = set(), [function.__code__ for _, function in self.functions()]
        while todo:
            code = todo.pop()
            if code not in found:
                found.add(code)
                todo += [one for one in code.co_consts if isinstance(one, CodeType)]
        return found

    def lost_between(
        self, first: Callable[[str], None], second: Callable[[str], None]
    ) -> Iterator[tuple[str, str]]:
        """Halt the thread that says something by `first`, once at each instruction.

        While it is halted, `second` says something in a thread of its own, and a reader
        asks. Gives for each halt where it was, and in words what went wrong, if it did.
        Raises NotJudged if no such halt could be made, and AssertionError if the
        threads wait for each other for ever.
        """
        cursor = self.request("POST", new_message="mark").reply["timestamp"]
        played = 0
        with watched(self.codes()) as watch:
            for halt in itertools.count():
                texts = [self.new_text(), self.new_text()]
                one, other = Thread(first, texts[0]), Thread(second, texts[1])
                heard: list[tuple[float, str]] = []
                reader = Thread(partial(self._hear, heard), cursor)
                with watch.halts(one, halt):
                    one.start()
                    one.rests()
                    if one.over:
                        one.join(STUCK)
                        break
                    for thread in (other, reader):
                        thread.start()
                        thread.rests(BLOCKED)
                    one.go_on()
                    for thread in (one, other, reader):
                        thread.end()
                played += 1
                got = [text for _, text in heard]
                got += self.ask_on(heard[-1][0] if heard else cursor)
                errors = [t.error for t in (one, other, reader) if t.error]
                wrong = ""
                if errors:
                    wrong = f"It fails: {type(errors[0]).__name__}: {errors[0]}."
                elif {*texts[1 - one.said :]} - {*got}:
                    wrong = "The client never hears one of the messages."
                yield watch.where, wrong
                cursor = self.request("POST", new_message="mark").reply["timestamp"]
        if not played:
            raise NotJudged("no code of the folder ran when something was said")


class Thread(threading.Thread):
    """Calls `say(what)`; it can be waited for until it is over, halted, or blocked."""

    def __init__(self, say: Callable, what):
        super().__init__(daemon=True)
        self.say, self.what = say, what
        self.news = threading.Event()
        self.gate = threading.Event()
        self.over = False
        self.said = True  # and not only asked
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self.said = self.say(self.what) is not ASKED
        except Exception as error:
            self.error = error
        self.over = True
        self.news.set()

    def rests(self, seconds: float = STUCK) -> None:
        """Wait until it is over, halted, or waits for a lock; at most so long."""
        self.news.wait(seconds)

    def halt(self) -> None:
        """Called in it: stand still until go_on()."""
        self.news.set()
        self.gate.wait(STUCK)

    def go_on(self) -> None:
        """Let it run to its end."""
        self.gate.set()

    def end(self) -> None:
        """Wait for its end. Raises AssertionError if there is none."""
        self.join(STUCK)
        assert not self.is_alive(), (
            "Two threads that say something at the same time wait for each other for "
            "ever. Is a lock taken that is not given back?"
        )


class Watch:
    """Halts a thread at the instruction of a number, counted in watched code."""

    def __init__(self):
        self.thread: Thread | None = None
        self.left = 0
        self.where = ""

    @contextmanager
    def halts(self, thread: Thread, instruction: int) -> Iterator[None]:
        """Meanwhile `thread` is halted before so many instructions."""
        self.thread, self.left = thread, instruction
        try:
            yield
        finally:
            self.thread = None

    def reached(self, code: CodeType, line: int | None) -> None:
        """Called before each watched instruction, in the thread that comes to it."""
        thread = self.thread
        if threading.current_thread() is not thread or self.left < 0:
            return
        self.left -= 1
        if self.left < 0:
            self.where = f"{Path(code.co_filename).name}, line {line}"
            thread.halt()


# As in the laboratory of stage 4: from 3.12 on, sys.settrace can miss instructions, and
# before 3.12 there is no sys.monitoring.
@contextmanager
def watched(codes: set[CodeType]) -> Iterator[Watch]:
    """Meanwhile threads that are started can be halted in `codes`."""
    watch = Watch()
    if sys.version_info >= (3, 12):
        monitoring, tool = sys.monitoring, 4
        lines = {}

        def instruction(code, offset):
            known = lines.get(code)
            if known is None:
                known = lines[code] = {
                    at: line
                    for start, end, line in code.co_lines()
                    for at in range(start, end, 2)
                }
            watch.reached(code, known.get(offset))

        event = monitoring.events.INSTRUCTION
        monitoring.use_tool_id(tool, "inside")
        try:
            monitoring.register_callback(tool, event, instruction)
            for code in codes:
                monitoring.set_local_events(tool, code, event)
            yield watch
        finally:
            for code in codes:
                monitoring.set_local_events(tool, code, 0)
            monitoring.register_callback(tool, event, None)
            monitoring.free_tool_id(tool)
        return

    def trace(frame, event, _):
        if frame.f_code not in codes:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            watch.reached(frame.f_code, frame.f_lineno)
        return trace

    before = threading.gettrace()
    threading.settrace(trace)
    try:
        yield watch
    finally:
        threading.settrace(before)


@contextmanager
def inside(folder: Path) -> Iterator[Inside]:
    """Load the chat of `folder`; afterwards all is as if it had not happened.

    Code in it gets another clock, and locks that tell when somebody waits for them.
    """
    clock = Clock(folder)
    below = f"{folder}/"

    def blocked() -> None:
        thread = threading.current_thread()
        if isinstance(thread, Thread):
            thread.news.set()

    def watched_lock(make: Callable) -> Callable:
        def lock():
            real = make()
            theirs = sys._getframe(1).f_code.co_filename.startswith(below)
            return Lock(real, blocked) if theirs else real

        return lock

    with ExitStack() as stack:
        stack.enter_context(fresh_django())
        stack.enter_context(mock.patch("time.time", clock))
        for name in ("Lock", "RLock"):
            stand_in = watched_lock(getattr(threading, name))
            stack.enter_context(mock.patch.object(threading, name, stand_in))
        try:
            [chatserver] = stack.enter_context(stage_modules(folder, "chatserver"))
        except (Exception, SystemExit) as error:
            why = f"{type(error).__name__}: {error}"
            raise NotJudged(f"chatserver.py cannot be imported ({why})") from error
        yield Inside(folder, clock, chatserver)


def named(folder: Path, module: str, *names: str) -> list:
    """What the chapter calls `names` in `module` of a folder that is loaded.

    Raises NotJudged if there is no such module, or no such name in it.
    """
    missing = (
        f"the chapter calls it {', '.join(names)} in {module.replace('.', '/')}.py"
    )
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        raise NotJudged(missing) from error
    if not str(found.__file__).startswith(f"{folder}/"):
        raise NotJudged(missing)
    with suppress(AttributeError):
        return [getattr(found, name) for name in names]
    raise NotJudged(missing)
