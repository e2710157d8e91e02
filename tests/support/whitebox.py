"""Load a stage's own classes, apart from those of every other stage."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import ModuleType, SimpleNamespace

from django.apps import apps
from django.conf import settings
from django.db import connections
from django.utils.functional import empty
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from tests.support import requests
from tests.support.storage import Database
from tests.support.transport import Reactor

# What a room is to us where there is none yet.
NOBODY = SimpleNamespace(clients=[], delayed_requests=[], messages=[])


@contextmanager
def stage_modules(folder: Path, *names: str) -> Iterator[list[ModuleType]]:
    """Import `names` from `folder`; afterwards all is as if it had not happened.

    Each call gives fresh modules. Raises AssertionError if a name is found anywhere
    else than in `folder`.
    """
    modules_before, path_before = set(sys.modules), list(sys.path)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        modules = [importlib.import_module(name) for name in names]
        for module in modules:
            assert Path(module.__file__).is_relative_to(folder), (
                f"{module.__name__} came from {module.__file__}, not from {folder}"
            )
        yield modules
    finally:
        sys.path[:] = path_before
        for name in set(sys.modules) - modules_before:
            if str(getattr(sys.modules[name], "__file__", None)).startswith(
                str(folder)
            ):
                del sys.modules[name]


@contextmanager
def chat_classes(folder: Path) -> Iterator[SimpleNamespace]:
    """The classes of a stage from 2 on, wherever in `folder` they are.

    `build(origins)` wires them as the stage's chatserver.py does, to a `Whole`.
    `set_clock(function)` gives them another `time.time`.
    """
    names = [
        f"twisted_chat.{file.stem}" for file in folder.glob("twisted_chat/[!_]*.py")
    ]
    with fresh_django(), stage_modules(folder, "chatserver", *names) as modules:
        classes = SimpleNamespace()
        for module in modules:
            vars(classes).update(vars(module))
        requests.names = hasattr(classes, "Presence")
        classes.build = partial(_build, modules[0], classes)
        classes.set_clock = partial(_set_clock, modules)
        try:
            yield classes
        finally:
            requests.names = False


@contextmanager
def fresh_django() -> Iterator[None]:
    """Let a stage set Django up, which can be done only once for each process."""
    with _no_event_loop():
        try:
            yield
        finally:
            if apps.ready:
                _forget_django()


@contextmanager
def _no_event_loop() -> Iterator[None]:
    # Playwright has one running in this thread, once a test has used it. Where Django
    # sees one, it refuses to ask a database, and keeps a connection for each context:
    # what a test has opened, nobody would find to close it.
    loop = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(loop)


def _forget_django() -> None:
    connections.close_all()
    for alias in connections:
        del connections[alias]
    vars(connections).pop("settings", None)
    connections._settings = None
    apps.all_models.pop("chat", None)
    apps.app_configs.clear()
    apps.apps_ready = apps.models_ready = apps.ready = apps.loading = False
    apps.clear_cache()
    settings._wrapped = empty


def _set_clock(modules: list[ModuleType], clock: Callable[[], float]) -> None:
    for module in modules:
        if hasattr(module, "time"):
            module.time = SimpleNamespace(time=clock)


def _build(chatserver: ModuleType, classes, origins: list[bytes], **limits):
    settings, reactor = [origins], None
    if "reactor" in inspect.signature(classes.ChatFactory).parameters:
        reactor = Reactor()
        limits = _limits(classes, limits)
        if hasattr(classes, "DatabaseLog"):
            factory = _with_a_log(classes, reactor, *limits)
        else:
            factory = classes.ChatFactory(reactor, *_database(classes), *limits)
        settings.append(reactor)
    elif hasattr(classes, "Room"):
        factory = classes.ChatFactory()
    elif hasattr(classes, "MessageStore"):
        factory = classes.ChatFactory(classes.MessageStore())
    else:
        factory = classes.ChatFactory()
        chatserver.ORIGINS, settings = origins, []
    if hasattr(classes, "Door"):
        door = classes.Door(factory, ["127.0.0.1"], origins)
        http_chat = Entrance(classes, door, classes.HttpChat(factory, reactor))
        resource = classes.ChatResource(factory)
        site = _guarded(classes, door, reactor)
        return Whole(reactor, factory, resource, http_chat, site, classes.Root)
    return Whole(
        reactor,
        factory,
        classes.ChatResource(factory, *settings[:1]),
        hasattr(classes, "HttpChat") and classes.HttpChat(factory, *settings),
    )


@dataclass
class Entrance:
    """A resource, and what is done with each request first, from `7_strangers` on."""

    classes: SimpleNamespace
    door: object
    resource: object

    def render(self, request):
        request.refuse = partial(self.classes.ChatRequest.refuse, request)
        request.site = SimpleNamespace(door=self.door)
        try:
            request.address = self.door.let_in(request)
            return self.resource.render(request)
        except self.classes.Refused as refused:
            request.refuse(refused)
            return NOT_DONE_YET

    def __getattr__(self, name):
        return getattr(self.resource, name)


def _guarded(classes, door, reactor) -> Callable[[Resource], object]:
    """What makes the site and what stands before it, from `7_strangers` on: once."""

    @cache
    def make():
        site = classes.ChatSite(Resource(), door)
        return classes.GuardedSite(site, door.factory.limits, door.proxies, reactor)

    def site(root: Resource):
        # Here a request passes the door anyway.
        root.children[b""] = root.children[b""].resource
        make().wrappedFactory.resource = root
        return make()

    return site


def _limits(classes, given: dict) -> list:
    """Limits that no test reaches which is not about them, if there are any."""
    if not hasattr(classes, "Limits"):
        return []
    many = classes.Rate(10**6, 1)
    limits = {"messages": many, "knocks": many, "asks": many, "most_per_user": 10**6}
    return [classes.Limits(**limits | given)]


def _with_a_log(classes, reactor, limits):
    """A ChatFactory from `8_many_servers` on, of a server that is the only one."""
    database = Database(classes)
    log = classes.DatabaseLog(reactor, database)
    speech = classes.OwnBucket(limits.messages)
    factory = classes.ChatFactory(reactor, log, classes.NoRoll(), speech, limits)
    factory.database = database
    return factory


def _database(classes) -> list:
    """What the ChatFactory needs as a database, if it needs one."""
    needed = "database" in inspect.signature(classes.ChatFactory).parameters
    return [Database(classes)] if needed else []


@dataclass(frozen=True)
class Whole:
    """A chat as chatserver.py wires it, and where a stage keeps what it keeps.

    Where there are rooms, these are the clients and messages of room 1.
    """

    reactor: Reactor | None
    factory: object
    web_socket: object
    http_chat: object
    site: Callable = partial(Site, timeout=None)
    root: Callable = Resource

    @property
    def _room(self):
        if not hasattr(self.factory, "rooms"):
            return None
        # To look must not make a room.
        return self.factory.rooms.get(1) or NOBODY

    @property
    def clients(self) -> list:
        """The sockets that are in the chat."""
        return (self._room or self.factory).clients

    @property
    def waiting(self):
        """The requests that wait, or something as long as their list."""
        return (self._room or self.http_chat).delayed_requests

    def sweep(self) -> None:
        """What some stages do every second: look at the requests that wait."""
        if hasattr(self.http_chat, "processDelayedRequests"):
            self.http_chat.processDelayedRequests()

    @property
    def messages(self):
        """What was said, in whatever the stage keeps it in."""
        return (self._room or self.factory).messages
