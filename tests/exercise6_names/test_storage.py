"""What is stored of who spoke, in a file of our own."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

SINCE_STAGE = 10


@pytest.fixture(autouse=True)
def _own_file(monkeypatch, tmp_path):
    # Before the classes are loaded: Django reads its settings once.
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/chat.sqlite3")


@pytest.fixture
def storage(classes):
    """The functions, and a database with the demo rooms."""
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    return classes.storage


def new_user(name: str):
    from django.contrib.auth import get_user_model

    return get_user_model().objects.create_user(name)


def said(user, *texts: str) -> dict[str, tuple]:
    """What a user says, by id; the ids are the texts."""
    return {text: (text, SimpleNamespace(user=user.pk, name="Ann")) for text in texts}


def authors(messages) -> list[tuple | None]:
    return [m.author and (m.author["id"], m.author["name"]) for m in messages]


def test_what_was_said_before_there_were_authors_has_none(classes):
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", "chat", "0003", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO chat_message (room_id, seq, client_id, text, said_at) "
            "VALUES (1, 1, 'old', 'before', '2013-11-28 19:00:00.5')"
        )
        cursor.execute("UPDATE chat_chatroom SET last_seq = 1 WHERE id = 1")
    call_command("migrate", verbosity=0)
    _, seq, [message] = classes.storage.load(1, 200)
    assert (seq, message.text, message.author) == (1, "before", None)
    assert message.said_at == "2013-11-28T19:00:00.500Z"
    ann = new_user("Ann")
    stored = classes.storage.store({1: (1, said(ann, "after"))})
    assert authors(stored[1][0]) == [(ann.pk, "Ann")]
    rooms = classes.storage.models.ChatRoom.objects
    assert rooms.open_to(ann).count() == 3, "the rooms of before are open to all"


def test_who_is_deleted_and_speaks_keeps_nobody_from_being_stored(storage):
    ann, gone = new_user("Ann"), new_user("Gone")
    storage.store({1: (0, said(gone, "before"))})
    gone_key = gone.pk
    gone.delete()
    gone.pk = gone_key
    batch = {1: (1, said(ann, "one") | said(gone, "two")), 2: (0, said(ann, "three"))}
    stored = storage.store(batch)
    told = {room: authors(news) for room, (news, _) in stored.items()}
    assert told == {
        1: [(ann.pk, "Ann"), (None, "deleted user")],
        2: [(ann.pk, "Ann")],
    }
    *_, messages = storage.load(1, 200)
    assert [m.text for m in messages] == ["before", "one", "two"]
    assert authors(messages)[0] == (None, "deleted user")


def told(message) -> dict:
    """What is told of a message."""
    return {name: value for name, value in vars(message).items() if name != "epoch"}


def test_the_time_is_told_alike_by_both(storage):
    ann = new_user("Ann")
    news, _ = storage.store({1: (0, said(ann, *map(str, range(20))))})[1]
    *_, loaded = storage.load(1, 200)
    rows = storage.models.Message.objects.order_by("seq")
    assert [told(message) for message in news] == [told(message) for message in loaded]
    assert [row.told() for row in rows] == [told(message) for message in loaded]
    assert {len(message.said_at) for message in loaded} == {24}, "to the millisecond"


def test_the_author_of_a_message_is_asked_for_by_no_question_of_its_own(storage):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    ann = new_user("Ann")
    storage.store({1: (0, said(ann, *map(str, range(100))))})
    with CaptureQueriesContext(connection) as asked:
        storage.load(1, 200)
    assert len(asked) == 2, "the room, and its messages"
