"""A Chat that stays while its folder changes, and starts anew what that concerns."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.support.servers import Chat, Server
from tutorial.check.copies import contents, remove, take_copy

# A change in these makes no other table, so that the database need not be made anew.
NO_TABLES = {"admin.py", "forms.py", "tests.py", "urls.py", "views.py"}


class Standing:
    """A Chat, and what is known of how it was started. `made` is what ends it."""

    def __init__(self, chat: Chat, made: Iterator[Chat]):
        self.chat, self.made = chat, made
        self.servers = (*chat.servers, chat.manager)
        self.taken = contents(chat.target.folder)
        self.worn = False  # does none of them do as it should?
        self.broken = False  # was a test broken off?
        self.ready: dict[Server, int] = {}  # what each had written when it was ready

    def note(self) -> None:
        """Remember what the servers have written until they were ready."""
        for server in self.servers:
            if server.process is not None:
                self.ready.setdefault(server, server.written())

    def renew(self) -> None:
        """Be what a new Chat of the folder would be, as the folder is now.

        Raises NotStarted in the words in which a new one does.
        """
        chat = self.chat
        django, twisted = chat.servers
        before = self.taken
        changed = self._take()
        # Somebody may have looked for what was not there yet.
        self.worn |= not changed <= {*before} or chat.clock.is_moved
        tables = {name for name in changed if Path(name).name not in NO_TABLES}
        kept = (
            "django" in vars(chat)
            and any(chat.workspace.glob("*.sqlite3*"))
            and not any(self._concerns(s, tables) for s in (django, chat.manager))
        )
        stale = {
            server
            for server in self.servers
            if self.worn or server.process is None or self._concerns(server, changed)
        }
        if self.broken:
            stale |= {twisted, *[chat.manager] * chat.manager.busy}
        self.broken = False
        if not kept:
            stale |= {django, chat.manager}
            for file in chat.workspace.glob("*.sqlite3*"):
                file.unlink()
        if chat.is_persistent:
            stale.add(twisted)  # It has the database open.
        for server in self.servers:
            self._clear(server, anew=server in stale)
        chat.forget()
        if twisted in stale:
            chat.clock.set_right()
        self._begin(stale, kept)

    def _begin(self, stale: set[Server], kept: bool) -> None:
        """Start them side by side. What fails is told in the order of a new start."""
        chat = self.chat
        django, twisted = chat.servers
        twisted_too = twisted in stale and chat.target.stage.number >= 2
        django_too = django in stale and kept
        self.worn = True  # until all of them run
        if twisted_too:
            twisted.begin(chat.chat_port)
        if django_too:
            django.begin(chat.django_port)
        chat.manager.prepare()
        if twisted_too:
            twisted.wait()
        if django_too:
            chat.migrate()  # There is nothing to do, or it says why it cannot.
            django.wait()
            vars(chat)["django"] = django
        elif django in stale:
            vars(chat).pop("django", None)  # It is started when it is asked for.
        self.worn = False

    def _clear(self, server: Server, anew: bool) -> None:
        """End a server, or leave of its output only what it said at its start."""
        if anew:
            self.ready.pop(server, None)
            if server.process is not None:
                server.notes.unlink(missing_ok=True)
                server.kill()
        said = self.ready.get(server, 0)
        if server.written() > said:
            os.truncate(server.log, said)

    def _concerns(self, server: Server, changed: set[str]) -> bool:
        """Whether a server would be another one after a change of these files."""
        if server.process is None:
            return False
        ended = server.process.poll() is not None
        return ended or not changed.isdisjoint(server.has_read())

    def _take(self) -> set[str]:
        """Take a copy again, in the place of the one that is there.

        Returns the names of the files that are not what they were.
        """
        chat, before = self.chat, self.taken
        new = chat.workspace / "new"
        remove(new)
        chat.left_behind = take_copy(chat.target.folder, new)
        self.taken = contents(new)
        for path in chat.folder.iterdir():
            remove(path)
        for path in new.iterdir():
            shutil.move(path, chat.folder)
        names = {*before, *self.taken}
        return {name for name in names if before.get(name) != self.taken.get(name)}
