"""What the chat server asks of the database. Each function blocks until it is done."""

from datetime import datetime

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
        texts = [text for _, said in batch.values() for text in said.values()]
        return _store(batch, gone({ticket.user for _, ticket in texts}))


def _store(batch, deleted=()):
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
                    "author_id": None if ticket.user in deleted else ticket.user,
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


def heads(room_ids):
    """Return {room_id: last number} of the rooms that there are."""
    rooms = models.ChatRoom.objects.filter(pk__in=room_ids)
    return dict(rooms.values_list("pk", "last_seq"))


def all_rooms():
    return list(models.ChatRoom.objects.values_list("pk", flat=True))


def before(room_id, seq, most):
    """Return the newest messages before a number, in their order."""
    rows = models.Message.objects.filter(room=room_id, seq__lt=seq)
    return _plain(rows.order_by("-seq")[:most])[::-1]


def one(room_id, seq):
    """Return the message with this number, or None."""
    rows = models.Message.objects.filter(room=room_id, seq=seq)
    return next(iter(_plain(rows)), None)


def gone(user_ids):
    """Return those of these users who were deleted."""
    there = get_user_model().objects.filter(pk__in=user_ids)
    return set(user_ids) - set(there.values_list("pk", flat=True))


def archive(room_id, messages):
    """Store messages that have their numbers already, and are not stored yet.

    Returns how many those were, or None if there is no such room.
    """
    try:
        return _archive(room_id, messages)
    except IntegrityError:
        # Somebody's account was deleted, or a message was said again after a day.
        users = {message.author["id"] for message in messages}
        return _archive(room_id, messages, gone(users))


def _archive(room_id, messages, deleted=None):
    with transaction.atomic():
        room = models.ChatRoom.objects.select_for_update().filter(pk=room_id).first()
        if room is None:
            return None
        new = [message for message in messages if message.seq > room.last_seq]
        if not new:
            return 0
        if new[0].seq != room.last_seq + 1:
            raise LookupError(f"room {room_id} lacks what follows {room.last_seq}")
        rows = [_row(room, message) for message in new]
        if deleted is not None:
            ids = [message.id for message in new]
            told = room.messages.filter(client_id__in=ids)
            taken = set(told.values_list("client_id", flat=True))
            for row in rows:
                if row.author_id in deleted:
                    row.author_id = None
                if row.client_id in taken:
                    row.client_id = f"{row.seq} {row.client_id}"[:64]
        models.Message.objects.bulk_create(rows)
        room.last_seq = new[-1].seq
        room.save(update_fields=["last_seq"])
        return len(new)


def _row(room, message):
    return models.Message(
        room=room,
        seq=message.seq,
        client_id=message.id,
        text=message.text,
        said_at=datetime.fromisoformat(message.said_at),
        author_id=message.author["id"],
        author_name=message.author["name"],
    )


def _plain(rows):
    return [Message(**row.told()) for row in rows]
