"""What one stage leaves wrong and a later one mends: told once, judged in both."""

from __future__ import annotations

from tests.support.polling import cursor_of, texts
from tests.support.requests import get, post
from tests.support.transport import join, say


def woken_by_one_post(whole, parked: int) -> int:
    """Park so many requests, post once, and return how many are answered at once."""
    at = cursor_of(post(whole.http_chat, "mark").reply)
    requests = [get(whole.http_chat, at) for _ in range(parked)]
    post(whole.http_chat, "news")
    return sum(request.reply is not None for request in requests)


def woken_by_a_socket(whole) -> tuple[bool, bool]:
    """Is a parked request answered when a socket speaks: at once, and after a sweep?"""
    parked = get(whole.http_chat, cursor_of(post(whole.http_chat, "mark").reply))
    say(join(whole.factory), "news")
    at_once = parked.reply is not None
    whole.sweep()
    return at_once, parked.reply is not None


def messages_in_one_answer(whole, stored: int) -> int:
    """Post so many messages, ask once, and return how many come."""
    for number in range(stored):
        post(whole.http_chat, f"message {number}")
    return len(texts(get(whole.http_chat).reply))


def kept_in_memory(whole, posted: int) -> int:
    """Post so many messages that nobody will ask for, and count what is kept."""
    for number in range(posted):
        post(whole.http_chat, f"message {number}")
    return len(whole.messages)


def share_clients(classes) -> bool:
    """Do two chats in one process, which know nothing of each other, share clients?"""
    first, second = classes.build([]), classes.build([])
    ann = join(first.factory)
    return ann in second.clients


class _Watched:
    """Counts which of its messages are looked at."""

    looks = 0

    def __iter__(self):
        for key in super().__iter__():
            self.looks += 1
            yield key

    def __getitem__(self, key):
        self.looks += 1
        return super().__getitem__(key)


class _WatchedDict(_Watched, dict):
    pass


class _WatchedList(_Watched, list):
    pass


def looks_of_one_poll(whole, history: int) -> int:
    """How many messages the server looks at for a poll that waits for the next one."""
    for number in range(history):
        newest = cursor_of(post(whole.http_chat, f"message {number}").reply)
    kept = whole.messages
    if isinstance(kept, dict):
        watched = whole.http_chat.messages = _WatchedDict(kept)
    else:
        watched = kept.messages = _WatchedList(kept.messages)
    assert get(whole.http_chat, newest).reply is None
    return watched.looks


def hears_after_a_future_cursor(whole) -> bool:
    """Does a client whose cursor is later than the clock hear the next message?"""
    parked = get(whole.http_chat, 1e12)
    post(whole.http_chat, "news")
    return parked.reply is not None
