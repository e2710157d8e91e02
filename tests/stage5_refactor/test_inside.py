"""What the clean-ups of stage 5 change inside a folder, whatever its names are.

`tutorial check` runs these on a learner's own. Where a test needs the chapter's names
and does not find them, it does not judge.
"""

from __future__ import annotations

import copy
import subprocess
import sys
import time
from collections import deque

import pytest

from tests.support.inside import NotJudged, named
from tests.support.transport import join, say, sent

SINCE_STAGE = 5
pytestmark = pytest.mark.stages(5, 5)
CHANGING = (list, dict, set, deque, bytearray)


def seconds_of_a_poll(chat, cursor: float) -> float:
    """How long the processor needs for a poll to which there is no answer yet."""
    fastest = 1.0
    for _ in range(30):
        began = time.thread_time()
        assert chat.ask(cursor) is None
        fastest = min(fastest, time.thread_time() - began)
    return fastest


def test_a_poll_does_not_look_at_the_whole_history(theirs):
    theirs.rehearse(theirs.post)

    def poll_after(posts: int) -> float:
        for number in range(posts):
            reply = theirs.request("POST", new_message=f"{number}").reply
        return seconds_of_a_poll(theirs, reply["timestamp"])

    few, many = poll_after(500), poll_after(12_000)
    assert many < 3 * few, (
        "A poll that has to wait should take as long with a long history as with a "
        f"short one. With 500 messages it took {few * 1e6:.0f} microseconds, with "
        f"12,500 it took {many * 1e6:.0f}. The messages are in order already: bisect "
        "finds the place without looking at all of them."
    )


def kept_in_classes(chat) -> dict[str, object]:
    """What the folder's classes hold that can change, by Class.name."""
    return {
        f"{kind.__name__}.{name}": value
        for kind in chat.classes
        for name, value in vars(kind).items()
        if isinstance(value, CHANGING)
    }


def test_nothing_that_changes_belongs_to_a_class(theirs):
    before = {name: copy.copy(value) for name, value in kept_in_classes(theirs).items()}
    theirs.rehearse(theirs.post)
    theirs.join()
    parked = theirs.request("GET", lastupdate="1e12")
    changed = [
        name for name, value in kept_in_classes(theirs).items() if value != before[name]
    ]
    parked.leave()
    assert not changed, (
        f"{changed[0]} belongs to the class, so that all its objects share one. It "
        "changed when somebody joined, asked or said something. What changes is made "
        "in __init__, for each object."
    )


def test_two_factories_share_nothing(theirs):
    [make_factory] = named(theirs.folder, "twisted_chat.factories", "ChatFactory")
    [make_store] = named(theirs.folder, "twisted_chat.messages", "MessageStore")
    try:
        first, second = make_factory(make_store()), make_factory(make_store())
    except TypeError as error:
        raise NotJudged("the chapter calls it ChatFactory(MessageStore())") from error
    ann, bob = join(first), join(second)
    say(ann, "hello")
    assert (sent(ann), sent(bob)) == (["hello"], []), (
        "Ann is in one ChatFactory, Bob in another, each with a MessageStore of its "
        f"own. Ann says 'hello'. Ann should hear it, and heard {sent(ann)}. Bob should "
        f"hear nothing, and heard {sent(bob)}."
    )


def test_no_default_argument_is_read_from_the_clock(theirs):
    began = set(theirs.clock.given)
    for name, function in theirs.functions():
        defaults = [
            *(function.__defaults__ or ()),
            *(function.__kwdefaults__ or {}).values(),
        ]
        for value in defaults:
            read = isinstance(value, int | float) and any(
                abs(value - reading) < 1 for reading in began
            )
            assert not read, (
                f"An argument of {name} has the default {value}, which is what the "
                "clock read when Python read the method. It will be the same at each "
                "call. Leave the default away, or make it None."
            )


def test_an_empty_store_that_is_given_is_the_one_that_is_used(theirs):
    [make_factory] = named(theirs.folder, "twisted_chat.factories", "ChatFactory")
    [make_store] = named(theirs.folder, "twisted_chat.messages", "MessageStore")
    store = make_store()
    if not hasattr(store, "next_after"):
        raise NotJudged("the chapter calls it MessageStore.next_after")
    try:
        factory = make_factory(store)
    except TypeError as error:
        raise NotJudged("the chapter calls it ChatFactory(MessageStore())") from error
    say(join(factory), "hello")
    assert store.next_after(0.0), (
        "ChatFactory was given a MessageStore, an empty one. A socket said 'hello', "
        "and the store that was given is still empty. An empty store is false, as an "
        "empty list is: `messages or ...` and `if messages:` throw it away. Ask "
        "`is None`."
    )


def test_the_messages_need_nothing_of_the_others(theirs):
    named(theirs.folder, "twisted_chat.messages", "MessageStore")
    code = (
        "import sys; import twisted_chat.messages; "
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=theirs.folder,
        capture_output=True,
        text=True,
        timeout=10,
    )
    needed = {"twisted", "django"} & {*done.stdout.split()}
    assert not needed, (
        f"twisted_chat/messages.py should need nothing of the others, but to import it "
        f"is to import {' and '.join(sorted(needed))}."
    )


def test_nobody_changes_a_message(theirs):
    [make_store] = named(theirs.folder, "twisted_chat.messages", "MessageStore")
    store = make_store()
    if not hasattr(store, "add") or not hasattr(store, "next_after"):
        raise NotJudged("the chapter calls it MessageStore.add and next_after")
    store.add("hello")
    message = store.next_after(0.0)
    if not hasattr(message, "text"):
        raise NotJudged("the chapter calls it Message.text")
    try:
        message.text = "something else"
    except AttributeError:
        return
    raise AssertionError(
        "A message that is stored should be as it was said for ever, but its text can "
        "be changed. @dataclass(frozen=True) sees to that."
    )
