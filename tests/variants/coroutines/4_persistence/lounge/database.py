"""What is done in the thread that may wait for the database."""

from functools import wraps
from uuid import uuid4

from django.db import connection, transaction

from chat.models import ChatRoom, Log, Said


def at_work(function):
    @wraps(function)
    def work(*args):
        try:
            with transaction.atomic():
                return function(*args)
        except BaseException:
            connection.close()  # The next one tries a new connection.
            raise

    return work


@at_work
def load(room, at_most):
    """Return epoch, last number and newest messages of a room; None if it is gone."""
    if not ChatRoom.objects.filter(pk=room).exists():
        return None
    log, _ = Log.objects.get_or_create(pk=room, defaults={"epoch": uuid4().hex})
    newest = Said.objects.filter(log=log).order_by("-seq")[:at_most]
    return log.epoch, log.last, [one.message() for one in reversed(newest)]


@at_work
def store(known, said):
    """Store what was said, in one transaction.

    `known` is {room: the last number that the server knows of}, `said` is a list of
    (room, id, text). Returns {room: None if it is gone, or else a pair of all messages
    after the known number, and {id: message} of those that were said}.
    """
    stored = {}
    for room, last in known.items():
        here = [(name, text) for where, name, text in said if where == room]
        stored[room] = store_in(room, last, here)
    return stored


def store_in(room, known, said):
    log = Log.objects.select_for_update().filter(pk=room).first()
    if log is None:
        return None
    names = {name for name, text in said}
    found = {one.name: one for one in Said.objects.filter(log=log, name__in=names)}
    fresh = []
    if log.last > known:  # Somebody else wrote into this log.
        fresh = list(Said.objects.filter(log=log, seq__gt=known).order_by("seq"))
    new = []
    for name, text in said:
        if name not in found:
            log.last += 1
            found[name] = Said(log=log, seq=log.last, name=name, text=text)
            new.append(found[name])
    Said.objects.bulk_create(new)
    log.save(update_fields=["last"])
    told = {name: one.message() for name, one in found.items()}
    return [one.message() for one in fresh + new], told
