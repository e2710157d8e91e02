"""What the pages say of behaviour that no block of theirs shows."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest

from tests.support.servers import wait_until
from tutorial.processes import end, free_ports
from tutorial.site.pages import DOCS
from tutorial.stages import find_stage

COUNTING = """
from django.test import TestCase
from chat.models import ChatRoom

class Counted(TestCase):
    def test_it_says_how_many_there_are(self):
        ChatRoom.objects.all().delete()
        ChatRoom.objects.create(name="One")
        self.assertContains(self.client.get("/chats/"), "{one}")
        ChatRoom.objects.create(name="Two")
        self.assertContains(self.client.get("/chats/"), "{two}")
"""


@pytest.mark.parametrize(
    ("template", "right"),
    [
        ("{{ chat_rooms|length }} room{{ chat_rooms|length|pluralize }}", True),
        ("{{ chat_rooms|length }} rooms", False),
    ],
)
def test_the_test_of_chapter_1s_first_exercise_tells_1_from_2(
    template, right, tmp_path
):
    page = (DOCS / "1_django_ui.md").read_text("utf-8")
    hint = page.partition("Write the test first.")[2].partition("??? tip")[0]
    one, two = re.findall(r"`(<p>\d rooms?</p>)`", hint)
    folder = find_stage("1").copy_to(tmp_path / "mychat")
    index = folder / "chat" / "templates" / "chats" / "index.html"
    heading = "<h1>Rooms</h1>\n"
    text = index.read_text("utf-8")
    assert heading in text
    index.write_text(text.replace(heading, f"{heading}<p>{template}</p>\n"), "utf-8")
    (folder / "chat" / "tests.py").write_text(COUNTING.format(one=one, two=two))
    command = [sys.executable, "manage.py", "test"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert (result.returncode == 0) is right, result.stderr


GUARD = " and request in self.delayed_requests"


@contextmanager
def chat_of(folder, port: int):
    log = (folder / "log").open("wb")
    run = "from twisted.scripts.twistd import run; run()"
    command = [sys.executable, "-c", run, "-n", "-y", "chatserver.py"]
    environ = {**os.environ, "CHAT_PORT": str(port)}
    options = {"cwd": folder, "env": environ, "start_new_session": True}
    with log:
        server = subprocess.Popen(command, stdout=log, stderr=log, **options)
    try:
        said = (folder / "log").read_text
        wait_until(lambda: "starting on" in said(), said, 30)
        yield
    finally:
        end(server)


def request(method: str, path: str, body: str = "") -> bytes:
    kind = "application/x-www-form-urlencoded"
    head = f"Host: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}"
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n\r\n{body}".encode()


@pytest.mark.parametrize("guarded", [True, False])
def test_a_post_behind_a_parked_get_runs_while_that_is_answered(guarded, tmp_path):
    """Chapter 5: why the loop looks whether a request is still on the list."""
    folder = find_stage("5").copy_to(tmp_path / "mychat")
    resources = folder / "twisted_chat" / "resources.py"
    text = resources.read_text("utf-8")
    assert GUARD in text
    if not guarded:
        resources.write_text(text.replace(GUARD, ""), "utf-8")
    [port] = free_ports(1)

    def line(*requests: bytes) -> socket.socket:
        found = socket.create_connection(("127.0.0.1", port), 30)
        found.sendall(b"".join(requests))
        return found

    def greet() -> None:
        with line(request("GET", "/?lastupdate=-1")) as found:
            found.recv(9999)

    parked = request("GET", "/?lastupdate=1")
    with chat_of(folder, port):
        first = line(parked, request("POST", "/", "new_message=behind"))
        greet()  # when it is answered, the first is parked
        others = [line(parked) for _ in range(3)]
        greet()
        speaker = line(request("POST", "/", "new_message=go"))
        answer = speaker.recv(9999)
        for found in (first, *others, speaker):
            found.close()
    if guarded:
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["data"] == "go"
    else:
        assert b" 500 " in answer
        assert "list.remove(x): x not in list" in (folder / "log").read_text()
