"""The clean-ups of stage 5, each of which had its test first."""

from __future__ import annotations

import dataclasses
import inspect
import threading

import pytest
import pytest_twisted
from twisted.internet import reactor, threads

from tests.support.polling import cursor_of, texts
from tests.support.requests import get
from tests.support.scenarios import looks_of_one_poll, share_clients, woken_by_one_post
from tests.support.transport import join, say, say_in, sent

SINCE_STAGE = 5


def test_one_post_wakes_all_eight(whole):
    assert woken_by_one_post(whole, parked=8) == 8


def test_a_poll_finds_its_place_without_looking_at_the_history(whole):
    assert looks_of_one_poll(whole, history=500) <= 10  # 2 ** 9 > 500


def test_a_second_factory_has_clients_of_its_own(classes):
    assert not share_clients(classes)


def test_no_class_keeps_state_that_changes(classes):
    for kind in (classes.ChatFactory, classes.HttpChat, classes.MessageStore):
        shared = [
            value for value in vars(kind).values() if isinstance(value, list | dict)
        ]
        assert shared == [], f"{kind.__name__} shares {shared} among its instances"


def test_no_default_argument_is_read_from_the_clock(classes):
    for kind in (classes.ChatFactory, classes.HttpChat, classes.MessageStore):
        for name, function in inspect.getmembers(kind, inspect.isfunction):
            if function.__module__.startswith("twisted_chat"):
                assert not function.__defaults__, f"{kind.__name__}.{name}"


@pytest.mark.stages(5, 5)
def test_an_empty_shared_store_is_the_shared_store(classes):
    # An empty store is false, as an empty dict is: `messages or MessageStore()`
    # would give each side one of its own.
    store = classes.MessageStore()
    assert not store
    factory = classes.ChatFactory(store)
    http_chat = classes.HttpChat(factory, [])
    say(join(factory), "hello")
    assert len(store) == 1
    assert http_chat.factory.messages.next_after(0.0).text == "hello"


@pytest.mark.stages(5, 7)
def test_a_message_is_a_dataclass_that_nobody_changes(classes):
    message = classes.MessageStore().add("hello")
    assert dataclasses.asdict(message).keys() == {"published_at", "text"}
    with pytest.raises(dataclasses.FrozenInstanceError):
        message.text = "other"


def test_the_wiring_makes_one_chat(classes):
    assert classes.http_chat.factory is classes.factory
    assert classes.root.children[b""] is classes.http_chat
    assert classes.root.children[b"ws"].factory is classes.factory


@pytest_twisted.ensureDeferred
async def test_other_threads_come_in_by_call_from_thread(whole):
    """Four threads say 50 messages each: all are there, and sockets agree."""
    # From exercise 3 on no more than 200 messages are kept.
    ann, speakers, each = join(whole.factory), 4, 50
    room = getattr(ann, "room", whole.factory)
    used_by = set()
    add = whole.messages.add

    def watched_add(*message):
        used_by.add(threading.get_ident())
        return add(*message)

    whole.messages.add = watched_add

    def speak(name: int) -> None:
        for number in range(each):
            reactor.callFromThread(say_in, room, f"{name}:{number}")

    pending = [threads.deferToThread(speak, name) for name in range(speakers)]
    for deferred in pending:
        await deferred
    # Behind all that the threads have handed over.
    await threads.deferToThread(threads.blockingCallFromThread, reactor, int)
    assert used_by == {threading.get_ident()}
    heard, at = [], 0.0
    while len(heard) < speakers * each:
        reply = get(whole.http_chat, at).reply
        heard += texts(reply)
        at = cursor_of(reply)
    assert heard == sent(ann)
    assert sorted(heard) == sorted(
        f"{name}:{number}" for name in range(speakers) for number in range(each)
    )
