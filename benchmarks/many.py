"""What holds when many chat servers share one engine, whatever ends or stands still.

By itself: python -m benchmarks many --help
"""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import click
from rich.console import Console
from rich.table import Table

from tutorial.run.engine import shape_of
from tutorial.stages import ROOT

from .cluster import durable
from .cluster.chats import Chats, folder_of
from .cluster.clients import LATE
from .cluster.engine import Engine
from .hostile.site import plainly
from .reports import last_of, leave, numbers, part_table, shown
from .servers import Failed, allow_many_sockets, is_installed, running, servers

SUBJECT, BEFORE, PEER = "8_many_servers", "4_persistence", "channels_redis"
SERVERS, SEEDS = 3, 20
READY_SECONDS = 180.0
MOST_SECONDS = 600.0
MOST_FILES = 20_000  # that a process may have open
ARCHIVED_SECONDS = 15.0  # until what is acknowledged is in the database, too
ON_ITS_WAY = 0.5  # seconds that an acknowledgement may take to come
STANDS_STILL = 10.0  # seconds
TOLD_SECONDS = 15.0  # that clients have to notice that messages were lost
AHEAD = -5.0, 0.0, 5.0  # seconds: how far each server's clock is from ours
CROWDS = {  # who talk, and each how often, in seconds
    "ledger": {"senders": 30, "receivers": 300, "pause": 4.0},
    "burst": {"senders": 10, "receivers": 40, "pause": 0.3},
    "rolling": {"senders": 20, "receivers": 180, "pause": 3.0},
}
SMALL = {"senders": 4, "receivers": 6, "pause": 0.2}
HISTORIES = 1_000, 1_000_000  # messages, in two rooms
LONG = """
from django.db import connection
from chat import models
with connection.cursor() as cursor:
    cursor.execute('''
        WITH RECURSIVE n(i) AS
            (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
        INSERT INTO chat_message (room_id, seq, client_id, text, said_at, author_name)
        SELECT {room}, i, 'old-' || i, 'message ' || i, '2026-11-28 19:00:00', 'Ann'
        FROM n''')
models.ChatRoom.objects.filter(pk={room}).update(last_seq={count})
"""


@dataclass(frozen=True)
class Run:
    """What is measured, and how much of it. `small` is what the tests have."""

    folder: Path
    servers: int = SERVERS
    seeds: int = SEEDS
    first_seed: int = 1
    small: bool = False
    program: Path | None = None  # of the engine
    workspace: Path | None = None  # where all is copied to; a temporary folder's parent
    progress: Callable[[str], None] = lambda text: None

    @property
    def has_engine(self) -> bool:
        """Do its servers share more than a database?"""
        return shape_of(self.folder)[1]

    def crowd(self, name: str) -> dict:
        """Who talks."""
        return SMALL if self.small else CROWDS[name]

    @contextmanager
    def chats(self, count: int | None = None, keeps: str = "everysec", **more):
        """Chat servers that run, with an engine and a database of their own.

        Gives the Chats. Raises Failed.
        """
        with ExitStack() as stack:
            temporary = tempfile.TemporaryDirectory(dir=self.workspace)
            workspace = Path(stack.enter_context(temporary))
            engine = None
            if self.has_engine:
                engine = Engine(workspace / "engine", keeps, self.program)
                stack.enter_context(engine)
            chats = Chats(self.folder, workspace, engine, count or self.servers, **more)
            yield stack.enter_context(chats)


class Load:
    """A crowd that talks, in a process of its own. Use it in a `with` block."""

    def __init__(self, chats: Chats, **load):
        where = [plainly(each) for each in chats.where]
        words = json.dumps({"servers": where, **load})
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.cluster.load", words],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Load:
        if self.process.stdout.readline() != "ready\n":
            self.__exit__()
            raise Failed("The crowd was not let in.")
        return self

    def __exit__(self, *exc) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def tell(self, line: str) -> None:
        """Have it "hush", "talk", or begin "anew", without what was said so far."""
        print(line, file=self.process.stdin, flush=True)

    def end(self) -> dict:
        """Have it end, and return what it found. Raises Failed."""
        try:
            output, _ = self.process.communicate("end\n", MOST_SECONDS)
        except subprocess.TimeoutExpired:
            raise Failed("The crowd was not done.") from None
        if self.process.returncode:
            raise Failed(f"The crowd failed, with code {self.process.returncode}.")
        return json.loads(output.splitlines()[-1])


def beside(
    chats: Chats,
    act: Callable[[Load], dict],
    before: float = 1.0,
    after: float = 1.0,
    room: int = 1,
    **load,
) -> dict:
    """Do something while a crowd talks, which it does before and afterwards, too.

    Returns what `act` returned, and what the crowd found; and what of all that was
    acknowledged is not in the database, or not with the number that it was shown with.
    Raises Failed.
    """
    tracebacks = chats.tracebacks()
    with Load(chats, room=room, **load) as crowd:
        time.sleep(before)  # This is the load, and waits for nothing.
        acted = act(crowd)
        time.sleep(after)
        found = crowd.end()
    stored = {(seq, text) for seq, text in found.pop("stored")}
    deadline = time.monotonic() + ARCHIVED_SECONDS
    while True:
        rows = [(seq, text) for where, seq, text in chats.stored() if where == room]
        if stored <= {*rows} or time.monotonic() > deadline:
            break
        time.sleep(0.1)  # how often to look
    texts = Counter(text for _, text in rows)
    found["unarchived"] = len(stored - {*rows})
    found["archived_twice"] = sum(texts[text] > 1 for _, text in stored)
    found["tracebacks"] = chats.tracebacks() - tracebacks
    backs = [after for _, after, _ in found.pop("backs")]
    found["away"] = max(backs, default=0.0)
    found["problems"] += [f"{name} is away still" for name in found.pop("gone", [])]
    found["per_second"] = found["said"] / found["seconds"]
    return found | acted


def plain(found: dict) -> dict:
    """What is found without the lists of single moments."""
    dropped = ("acks", "reset_at", "names")
    return {key: value for key, value in found.items() if key not in dropped}


def ledger(run: Run) -> dict:
    """A crowd talks, and everything stays as it is."""
    seconds = 2.0 if run.small else 60.0
    with run.chats() as chats:
        return plain(
            beside(
                chats,
                lambda _: {},
                before=seconds,
                after=0,
                seed=run.first_seed,
                **run.crowd("ledger"),
            )
        )


@contextmanager
def nothing(chats: Chats, lot: Random) -> Iterator[dict]:
    """Do nothing while the block runs, and count nothing."""
    yield {}


def at_seeds(
    run: Run,
    part: str,
    act: Callable[[Chats, Random, Load], dict],
    all_the_time: Callable[[Chats, Random], AbstractContextManager[dict]] = nothing,
    **settings,
) -> dict:
    """Do something in the middle of a burst, at one seed after the other.

    And something `all_the_time`, also while what is on its way is waited for. Returns
    sums of what was counted, and the longest of what was timed. The seed decides when
    it is done to whom, and where clients go.
    """
    rows = []
    with run.chats(**settings) as chats:
        for number in range(run.seeds):
            seed = run.first_seed + number
            run.progress(f"{part}, seed {seed}, {number + 1} of {run.seeds}")
            lot = Random(f"{part} {seed}")
            with all_the_time(chats, lot) as counted:
                row = beside(
                    chats,
                    partial(act, chats, lot),
                    before=lot.uniform(0.7, 1.7),
                    after=1.0,
                    # A room of its own: no seed hears what another one left.
                    room=1 + number,
                    seed=seed,
                    **run.crowd("burst"),
                )
            rows.append(plain(acknowledged_meanwhile(row)) | counted)
    return summed(rows, run.first_seed)


def fall_silent(_: Chats, lot: Random, crowd: Load) -> dict:
    """Have all be silent, again and again.

    Before a silence, somebody said the last message. No other one comes then, by whose
    number a server could notice that it has missed one.
    """
    for _ in range(4):
        crowd.tell("hush")
        time.sleep(LATE + 0.5)  # What comes with the next message only, is late.
        crowd.tell("talk")
        time.sleep(lot.uniform(0.5, 1.0))
    return {}


def acknowledged_meanwhile(row: dict) -> dict:
    """A row with what was acknowledged while nobody could, if it says when that was.

    And after how long the first one was, then.
    """
    if "down" in row:
        begun, ended = row.pop("down")
        acks = row["acks"]
        row["meanwhile"] = sum(begun + ON_ITS_WAY < at < ended for at in acks)
        row["healed"] = min((at - ended for at in acks if at > ended), default=None)
    return row


COUNTED = (
    *("said", "acknowledged", "lost", "doubled", "disorder", "forked", "gaps"),
    *("unstored", "resets", "late", "unarchived", "archived_twice", "tracebacks"),
    *("meanwhile", "cuts"),
)
TIMED = ("p50", "p99", "worst", "away", "healed", "exit", "generator")


def summed(rows: list[dict], first_seed: int) -> dict:
    """One row of many: sums, the longest times, and all problems with their seeds."""
    found: dict = {"seeds": len(rows)}
    for key in COUNTED:
        if any(key in row for row in rows):
            found[key] = sum(row[key] for row in rows)
    for key in TIMED:
        values = [row[key] for row in rows if key in row]
        if values:
            found[key] = None if None in values else max(values)
    # Of all that were in between, what most of them have is their typical time.
    halves = [row["p50"] for row in rows if row["p50"] is not None]
    found["p50"] = statistics.median(halves) if halves else None
    found["slowest"] = [each for row in rows for each in row["slowest"][:2]]
    for key in ("ends", "refused"):
        total: Counter = Counter()
        for row in rows:
            total.update(row[key])
        found[key] = total
    found["problems"] = [
        f"seed {first_seed + number}: {what}"
        for number, row in enumerate(rows)
        for what in row["problems"]
    ]
    return found


def kill_server(run: Run) -> dict:
    """kill -9 of one server in the middle of a burst; then it is started again."""

    def act(chats: Chats, lot: Random, _: Load) -> dict:
        number = lot.randrange(len(chats.ports))
        chats.kill(number)
        time.sleep(lot.uniform(0, 1))
        chats.start(number)
        return {}

    return at_seeds(run, "kill_server", act)


def kill_engine(run: Run) -> dict:
    """kill -9 of the engine in the middle of a burst; then it is started again."""

    def act(chats: Chats, lot: Random, _: Load) -> dict:
        chats.engine.kill()
        dead = time.monotonic()
        time.sleep(lot.uniform(0, 2))
        chats.engine.start()
        return {"down": (dead, time.monotonic())}

    return at_seeds(run, "kill_engine", act)


def stop_engine(run: Run) -> dict:
    """The engine stands still for ten seconds, and goes on."""
    seconds = 3.0 if run.small else STANDS_STILL

    def act(_: Load) -> dict:
        chats.engine.pause()
        begun = time.monotonic()
        time.sleep(seconds)
        ended = time.monotonic()
        chats.engine.resume()
        return {"down": (begun, ended)}

    with run.chats() as chats:
        found = beside(chats, act, 2.0, 8.0, seed=run.first_seed, **run.crowd("burst"))
    return plain(acknowledged_meanwhile(found))


def cut_reader(run: Run) -> dict:
    """The connections on which servers read are cut, again and again."""

    @contextmanager
    def cutting(chats: Chats, lot: Random) -> Iterator[dict]:
        counted, over = {"cuts": 0}, threading.Event()

        def cut() -> None:
            while not over.wait(lot.uniform(0.02, 0.2)):
                counted["cuts"] += chats.engine.cut_readers()

        thread = threading.Thread(target=cut, daemon=True)
        thread.start()
        try:
            yield counted
        finally:
            over.set()
            thread.join()

    return at_seeds(run, "cut_reader", fall_silent, cutting)


def clocks(run: Run) -> dict:
    """The clocks of the servers differ by seconds."""
    return at_seeds(run, "clocks", fall_silent, ahead=AHEAD)


def rolling(run: Run) -> dict:
    """All servers are started anew by SIGTERM, one after the other, under load."""

    def act(_: Load) -> dict:
        exits = []
        for number in range(len(chats.ports)):
            exits.append(chats.stop(number))
            chats.start(number)
            time.sleep(0.5 if run.small else 3.0)  # as somebody would who watches
        return {"exit": max(exits)}

    with run.chats() as chats:
        found = beside(
            chats, act, 2.0, 3.0, seed=run.first_seed, **run.crowd("rolling")
        )
    found["waits"] = max(found["worst"] or 0.0, found["away"])
    return plain(found)


def no_aof(run: Run) -> dict:
    """The engine keeps nothing, and is killed: is everybody told?"""
    told_seconds = TOLD_SECONDS

    def act(crowd: Load) -> dict:
        chats.engine.kill()
        time.sleep(0.5)
        chats.engine.start()
        back = time.monotonic()
        time.sleep(told_seconds)
        crowd.tell("anew")
        return {"back_at": back}

    with run.chats(keeps="no") as chats:
        found = beside(chats, act, 3.0, 5.0, seed=run.first_seed, **run.crowd("burst"))
    back = found.pop("back_at")
    told: dict[str, float] = {}
    for at, name in found["reset_at"]:
        told.setdefault(name, at - back)
    found["told"] = max(told.values(), default=None)
    found["silent"] = len({*found["names"]} - {*told})
    # What was shown is lost, and was never to be archived.
    for figure in ("unarchived", "archived_twice"):
        found.pop(figure)
    return plain(found)


@contextmanager
def channels(count: int, program: Path | None) -> Iterator[dict]:
    """Servers of Django Channels with channels_redis; gives what a load has to know."""
    [peer] = [server for server in servers() if server.name == "channels"]
    with ExitStack() as stack:
        workspace = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        engine = stack.enter_context(Engine(workspace / "engine", "no", program))
        environment = {"REDIS_URL": engine.url}
        ports = []
        for number in range(count):
            folder = workspace / f"{number}"
            folder.mkdir()
            where = stack.enter_context(running(peer, folder, **environment))
            ports.append(where["port"])
        yield {"port": ports[0], "others": ports[1:]}


def generate(module: str, **load) -> dict:
    """Let a load generator of benchmarks/ work. Returns its result. Raises Failed."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{module}", json.dumps(load)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=MOST_SECONDS,
        )
    except subprocess.SubprocessError as error:
        raise Failed(f"{error}") from error
    return json.loads(done.stdout)


def ours(chats: Chats) -> dict:
    """What a load generator of benchmarks/ has to know of our servers."""
    where = chats.where[0]
    return {
        "port": chats.ports[0],
        "others": chats.ports[1:],
        "token": where.token(1, 1),
        "history": True,
        "author": {"id": 1, "name": "user1"},
    }


def fanout(run: Run) -> dict:
    """One speaks, all hear: two servers beside two of Channels, and one beside one.

    Rounds go through all in turn, each time with servers that start anew.
    """
    load = {"clients": 100, "in_flight": 10, "seconds": 3.0}
    rounds = 5
    if run.small:
        load, rounds = {"clients": 6, "in_flight": 10, "seconds": 0.2}, 1
    [before] = [server for server in servers() if server.name == BEFORE]

    @contextmanager
    def many(count: int) -> Iterator[dict]:
        with run.chats(count) as chats:
            yield ours(chats)

    @contextmanager
    def one_before() -> Iterator[dict]:
        with (
            tempfile.TemporaryDirectory() as workspace,
            running(before, Path(workspace)) as where,
        ):
            where.pop("pid")
            yield where

    kinds = {
        "two": lambda: many(2),
        "channels": lambda: channels(2, run.program),
        "one": lambda: many(1),
        "before": one_before,
    }
    if not is_installed("channels", "daphne", PEER):
        del kinds["channels"]
    found: dict[str, list[dict]] = {name: [] for name in kinds}
    problems = []
    for number in range(1, rounds + 1):
        for name, start in kinds.items():
            run.progress(f"fanout, {name}, round {number} of {rounds}")
            with start() as where:
                result = generate("fanout", **load, **where)
            found[name].append(result)
            problems += [f"{name}, round {number}: {e}" for e in result["problems"]]
    rates = {
        name: statistics.median(result["rate"] for result in results)
        for name, results in found.items()
    }
    return {
        **rates,
        "times": rates["two"] / rates["channels"] if "channels" in rates else None,
        "share": rates["one"] / rates["before"],
        "generator": max(
            result["generator"] for results in found.values() for result in results
        ),
        "problems": problems,
    }


def poll(run: Run) -> dict:
    """The price of one poll, where few messages were said and where many were."""
    histories = (100, 1_000) if run.small else HISTORIES
    load = {"polls": 50, "rounds": 3} if run.small else {}
    with run.chats(1) as chats:
        for room, count in enumerate(histories, 1):
            run.progress(f"poll, {count:,} messages are put in")
            chats.manage(
                "shell", "-v", "0", "--command", LONG.format(room=room, count=count)
            )
        where = chats.where[0]
        tokens = [where.token(room) for room in range(1, len(histories) + 1)]
        run.progress("poll")
        found = generate(
            "cluster.polls", port=where.port, pid=where.pid, tokens=tokens, **load
        )
    if found["newest"] != [*histories]:
        found["problems"].append(f"the newest are {found['newest']}")
    for figure in ("cpu", "took"):
        found[f"{figure}_short"], found[f"{figure}_long"] = found.pop(figure)
    return found


def acknowledged(run: Run) -> dict:
    """What an engine that is killed has lost of what it acknowledged; and its price."""
    rows = {}
    load = {"rounds": 2, "seconds": 0.3} if run.small else {"rounds": 10}
    for way in durable.WAYS:
        run.progress(f"acknowledged, {way}")
        with tempfile.TemporaryDirectory() as folder:
            rows[way] = durable.measure(
                way, Path(folder), run.folder, program=run.program, **load
            )
    return {
        "ways": rows,
        "lost_by_default": rows["everysec"]["lost"],
        "lost_with_wait": rows["wait"]["lost"],
        "lost_with_always": rows["always"]["lost"],
        "problems": [],
    }


CLEAN = {  # a figure, and the most that it may be
    **dict.fromkeys(("lost", "doubled", "disorder", "forked", "gaps"), 0),
    **dict.fromkeys(("unstored", "resets", "unarchived", "archived_twice"), 0),
}
TARGETS: dict[str, dict[str, float]] = {
    "ledger": CLEAN | {"late": 0},
    "kill_server": CLEAN,
    "kill_engine": CLEAN | {"meanwhile": 0, "healed": 5.0},
    "stop_engine": CLEAN | {"meanwhile": 0, "healed": 5.0},
    "cut_reader": CLEAN | {"late": 0},
    "clocks": CLEAN | {"late": 0},
    "rolling": CLEAN | {"waits": 5.0, "exit": 10.0},
    "no_aof": {
        **dict.fromkeys(("lost", "doubled", "disorder", "gaps", "unstored"), 0),
        **{"silent": 0, "told": 10.0},
    },
    "fanout": {},
    "poll": {"ratio": 1.2},
    "acknowledged": {
        "lost_by_default": 0,
        "lost_with_always": 0,
        "lost_with_wait": 0,
    },
}
AT_LEAST: dict[str, dict[str, float]] = {  # and the least
    "cut_reader": {"cuts": 1},
    "fanout": {"times": 10.0, "share": 0.5},
}
PARTS = {
    "ledger": ledger,
    "kill_server": kill_server,
    "kill_engine": kill_engine,
    "stop_engine": stop_engine,
    "cut_reader": cut_reader,
    "clocks": clocks,
    "rolling": rolling,
    "no_aof": no_aof,
    "fanout": fanout,
    "poll": poll,
    "acknowledged": acknowledged,
}
# Of these, the servers of a folder without an engine have nothing.
NEED_ENGINE = ("kill_engine", "stop_engine", "cut_reader", "no_aof", "acknowledged")


def faults(part: str, found: dict) -> list[str]:
    """What a part found that has to be otherwise, in words."""
    wrong = []
    for figure, most in TARGETS[part].items():
        value = found.get(figure)
        if value is None or value > most:
            wrong.append(f"{figure} {shown(value)}, at most {most:g}")
    for figure, least in AT_LEAST.get(part, {}).items():
        value = found.get(figure)
        if value is None or value < least:
            wrong.append(f"{figure} {shown(value)}, at least {least:g}")
    if "acknowledged" in found and not found["acknowledged"]:
        wrong.append("nothing was acknowledged")
    return wrong + found["problems"]


def figures(report: dict) -> dict:
    """What pages may quote of a report: numbers by dotted keys, to three digits.

    Such as ledger.p99, in seconds, and acknowledged.ways.always.one.
    """
    found: dict = {"python": report["python"]}
    for part in PARTS:
        if row := report.get(part):
            found[part] = numbers(row)
    return found


def ways_table(ways: dict[str, dict]) -> Table:
    """What "acknowledged" means, by what the engine was told."""
    table = Table(title="What is acknowledged, when the engine is killed")
    table.add_column("what it is told")
    for heading in ("acknowledged", "lost", "one by one, /s", "pipelined, /s"):
        table.add_column(heading, justify="right")
    for way, row in ways.items():
        cells = [row["acknowledged"], row["lost"], row["one"], row["many"]]
        table.add_row(durable.WAYS[way].words, *map(shown, cells))
    return table


@click.command("many")
@click.argument("parts", nargs=-1, type=click.Choice([*PARTS]))
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write it here.")
@click.option(
    "--subject", default=SUBJECT, show_default=True, help="A snapshot, or a folder."
)
@click.option(
    "--servers", default=SERVERS, show_default=True, type=click.IntRange(1, 9)
)
@click.option("--seeds", default=SEEDS, show_default=True, type=click.IntRange(1, 90))
@click.option("--first-seed", default=1, show_default=True)
@click.option("--small", is_flag=True, help="Small crowds, as the tests have them.")
@click.option(
    "--engine",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The program of the engine, such as /usr/bin/redis-server.",
)
def main(parts, file, subject, servers, seeds, first_seed, small, engine):
    """Kill, stop and restart servers and their engine, while a crowd keeps the book.

    All PARTS take half an hour. Exit code 1 if anything is not as it has to be.
    """
    console = Console()
    try:
        folder = folder_of(subject)
    except LookupError as error:
        raise click.UsageError(f"{error}") from error
    run = Run(
        *(folder, servers, seeds, first_seed, small, engine), progress=console.print
    )
    report = last_of(measured(run, parts or [*PARTS]), figures, file)
    title = f"{report['of']}, on many servers"
    console.print(part_table(title, PARTS, report, faults))
    if "acknowledged" in report:
        console.print(ways_table(report["acknowledged"]["ways"]))
    leave(report["wrong"])


def measured(run: Run, parts: Iterable[str] = PARTS) -> Iterator[dict]:
    """Measure these parts. Gives the report after each of them, with all before it.

    Under "wrong" is what is not as it has to be. Raises Failed.
    """
    allow_many_sockets(MOST_FILES)
    report: dict = {
        "of": run.folder.name,
        "servers": run.servers,
        "python": platform.python_version(),
        "wrong": [],
    }
    for part in parts:
        if part in NEED_ENGINE and not run.has_engine:
            raise Failed(f"{part}: {run.folder.name} has no engine.")
        run.progress(f"{run.folder.name}, {part}")
        report[part] = PARTS[part](run)
        wrong = faults(part, report[part])
        report["wrong"] += [f"{part}: {what}" for what in wrong]
        yield report
