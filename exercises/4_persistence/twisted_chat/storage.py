"""What the chat server asks of the database. Each function blocks until it is done."""

from django.db import IntegrityError, transaction

from chat import models

from .messages import Message


def load(room_id, most):
    """Return the epoch of a room, its last number, and its newest messages.

    None if there is no such room.
    """
    room = models.ChatRoom.objects.filter(pk=room_id).first()
    if room is None:
        return None
    newest = room.messages.filter(seq__lte=room.last_seq).order_by("-seq")[:most]
    return room.epoch, room.last_seq, _plain(newest)[::-1]


def store(batch):
    """Store what was said in some rooms, all of it or nothing.

    `batch` is {room_id: (seq, {id: text})}, with the number of the newest message that
    is known there. Returns {room_id: (news, {id: message})}: all that came after that
    number, and what is stored under each id. A room that is gone is left out.
    """
    try:
        return _commit(_append, batch)
    except (_Surprise, IntegrityError):
        return _commit(_look_and_append, batch)


class _Surprise(Exception):
    """Another number is the newest, or the room is gone."""


def _commit(append, batch):
    with transaction.atomic():
        # Always in this order, so that no two processes wait for each other's rooms.
        stored = {id: append(id, *batch[id]) for id in sorted(batch)}
    return {id: found for id, found in stored.items() if found}


def _append(room_id, seq, said):
    # To compare the number and to raise it is one step. Who did it has the row, and
    # others wait until that is committed: no number is visible before a lower one.
    room = models.ChatRoom.objects.filter(pk=room_id, last_seq=seq)
    if not room.update(last_seq=seq + len(said)):
        raise _Surprise
    new = [
        models.Message(room_id=room_id, seq=number, client_id=id, text=said[id])
        for number, id in enumerate(said, seq + 1)
    ]
    news = _plain(models.Message.objects.bulk_create(new))
    return news, {message.id: message for message in news}


def _look_and_append(room_id, seq, said):
    rooms = models.ChatRoom.objects.select_for_update()
    room = rooms.filter(pk=room_id).first()
    if room is None:
        return None
    # What is said again has an id that is stored: its answer was lost.
    again = _plain(room.messages.filter(client_id__in=said))
    stored = {message.id: message for message in again}
    unknown = {id: text for id, text in said.items() if id not in stored}
    news, _ = _append(room_id, room.last_seq, unknown)
    if room.last_seq > seq:
        # A commit had not failed, as we were told, or another server has written.
        news = _plain(room.messages.filter(seq__gt=seq).order_by("seq"))
    stored.update((message.id, message) for message in news if message.id in said)
    return news, stored


def _plain(rows):
    return [Message(row.seq, row.client_id, row.text) for row in rows]
