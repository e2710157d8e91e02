"""Two servers may run one day: the database is where they meet."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SINCE_STAGE = 9
BATCHES = 100
WRITER = """
import json
from types import SimpleNamespace
from twisted_chat import storage

seq, heard = 0, []
print("ready", flush=True)
input()
for n in range({batches}):
    said = {{f"both {{n}}": {text}, f"{name} {{n}}": {text}}}
    news, stored = storage.store({{{room}: (seq, said)}})[{room}]
    assert stored.keys() == said.keys(), "each id is stored"
    heard += [(message.seq, message.id) for message in news]
    seq = heard[-1][0]
print(json.dumps(heard))
"""


@pytest.mark.thorough
def test_two_who_write_make_one_log(on_postgres):
    [path] = on_postgres.make_rooms("Two writers")
    room = path.strip("/").rpartition("/")[2]
    writers = [write(on_postgres, room, name) for name in ("Ann", "Bob")]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("\n")
        writer.stdin.flush()
    said = [writer.communicate(timeout=60) for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0], (
        f"Who finds that somebody has written looks, and can write then: {said}"
    )
    ann, bob = sorted((json.loads(out) for out, _ in said), key=len)
    assert ann == bob[: len(ann)], "both are told of one order"
    assert [seq for seq, _ in bob] == [*range(1, len(bob) + 1)]
    ids = [id for _, id in bob]
    assert len(ids) == len({*ids}) == 3 * BATCHES, "what both say is stored once"


def write(chat, room: str, name: str) -> subprocess.Popen:
    """A process that says things in a room, when it is told to begin."""
    text = '"hello"'
    if chat.has_names:  # who says it, as well
        text = f'("hello", SimpleNamespace(user=1, name="{name}"))'
    code = WRITER.format(batches=BATCHES, name=name, room=room, text=text)
    return subprocess.Popen(
        [sys.executable, "manage.py", "shell", "-v", "0", "--command", code],
        cwd=chat.folder,
        env=chat.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
