"""What the chat server asks of the database. Each function blocks until it is done."""

from django.contrib.auth import get_user_model
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

    `batch` is {room_id: (seq, {id: (text, ticket)})}, with the number of the newest
    message that is known there, and the ticket of who says it. Returns
    {room_id: (news, {id: message})}: all that came after that number, and what is
    stored under each id. A room that is gone is left out, and one that has not come to
    that number yet.
    """
    try:
        return _store(batch)
    except IntegrityError:
        # Who is deleted can speak until the token ends, and has no row to point at. To
        # look for it each time would be a question for every commit.
        return _store(batch, _gone(batch))


def _gone(batch):
    """Return the ids of the users who speak in a batch, and were deleted."""
    texts = [text for _, said in batch.values() for text in said.values()]
    speaking = {ticket.user for _, ticket in texts}
    there = get_user_model().objects.filter(pk__in=speaking)
    return speaking - set(there.values_list("pk", flat=True))


def _store(batch, gone=()):
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
            rows = []
            for number, id in enumerate(new, room.last_seq + 1):
                text, ticket = said[id]
                author = {
                    "author_id": None if ticket.user in gone else ticket.user,
                    "author_name": ticket.name,
                }
                rows.append(
                    models.Message(
                        room=room, seq=number, client_id=id, text=text, **author
                    )
                )
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
    return [Message(**row.told()) for row in rows]
