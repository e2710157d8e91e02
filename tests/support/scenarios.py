"""What one stage leaves wrong and a later one mends: told once, judged in both."""

from __future__ import annotations

from tests.support.requests import get, post
from tests.support.transport import join


def woken_by_one_post(whole, parked: int) -> int:
    """Park so many requests, post once, and return how many are answered at once."""
    at = post(whole.http_chat, "mark").reply["timestamp"]
    requests = [get(whole.http_chat, at) for _ in range(parked)]
    post(whole.http_chat, "news")
    return sum(request.reply is not None for request in requests)


def woken_by_a_socket(whole) -> tuple[bool, bool]:
    """Is a parked request answered when a socket speaks: at once, and after a sweep?"""
    parked = get(whole.http_chat, post(whole.http_chat, "mark").reply["timestamp"])
    join(whole.factory).textMessageReceived("news")
    at_once = parked.reply is not None
    whole.http_chat.processDelayedRequests()
    return at_once, parked.reply is not None


def messages_in_one_answer(whole, stored: int) -> int:
    """Post so many messages, ask once, and return how many come."""
    for number in range(stored):
        post(whole.http_chat, f"message {number}")
    return get(whole.http_chat).reply["data"].count("message")


def kept_in_memory(whole, posted: int) -> int:
    """Post so many messages that nobody will ask for, and count what is kept."""
    for number in range(posted):
        post(whole.http_chat, f"message {number}")
    return len(whole.factory.messages)


def share_clients(classes) -> bool:
    """Do two chats in one process, which know nothing of each other, share clients?"""
    first, second = classes.build([]).factory, classes.build([]).factory
    ann = join(first)
    return ann in second.clients
