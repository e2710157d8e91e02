"""What the chat server asks of the database. Each function blocks until it is done."""

from django.db import transaction

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
    number, and what is stored under each id. A room that is gone is left out, and one
    that has not come to that number yet.
    """
    stored = {}
    with transaction.atomic():
        # Always in this order, so that no two processes wait for each other's rooms.
        for room_id in sorted(batch):
            seq, said = batch[room_id]
            # Others wait for the row until this is committed: no number is visible
            # before a lower one.
            rooms = models.ChatRoom.objects.select_for_update()
            room = rooms.filter(pk=room_id).first()
            if room is None or room.last_seq < seq:  # Then it is another log.
                continue
            # What is said again has an id that is stored: its answer was lost.
            again = _plain(room.messages.filter(client_id__in=said))
            by_id = {message.id: message for message in again}
            new = [id for id in said if id not in by_id]
            rows = [
                models.Message(room=room, seq=number, client_id=id, text=said[id])
                for number, id in enumerate(new, room.last_seq + 1)
            ]
            news = _plain(models.Message.objects.bulk_create(rows))
            if room.last_seq > seq:
                # A commit had not failed, as we were told, or another server has
                # written.
                news = _plain(room.messages.filter(seq__gt=seq).order_by("seq"))
            room.last_seq += len(new)
            room.save(update_fields=["last_seq"])
            by_id.update(
                (message.id, message) for message in news if message.id in said
            )
            stored[room_id] = news, by_id
    return stored


def _plain(rows):
    return [Message(row.seq, row.client_id, row.text) for row in rows]
