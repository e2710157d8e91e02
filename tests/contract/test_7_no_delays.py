"""Exercise 2, no delays: a message wakes everybody, an answer brings all the news."""

from __future__ import annotations

import re
import sys
import time
from contextlib import ExitStack
from statistics import median

import pytest
from websockets.frames import Opcode

from tests.support import strangers
from tests.support.clients import Client, RawClient, short
from tests.support.polling import ask, cursor_of, data_of, newcomer, post, settle
from tests.support.servers import wait_until

SINCE_STAGE = 7
PROXY_SECONDS = 30.0  # after which many a proxy gives a request up


def batch(reply: dict) -> list[str]:
    """The texts of an answer. Raises AssertionError if it is no batch."""
    __tracebackhide__ = True
    data = reply.get("data")
    assert isinstance(data, list), (
        'An answer should bring all that is new: "data" should be a list of texts. '
        f"The answer was {reply}."
    )
    return data_of(reply)


def test_a_socket_wakes_a_parked_poll_at_once(chat):
    at_once = 0
    with Client(chat, "Ann") as ann:
        # More than once: a sweep may come by just in time.
        for number in range(5):
            parked = ask(chat, newcomer(chat, "Paul").lastupdate)
            settle(chat)
            ann.say(f"news {number}")
            ann.hears(
                *[f"{name}" for name in ("Paul is new here", f"news {number}")],
                because="they were said in her room",
            )
            settle(chat)
            at_once += parked.is_answered()
            parked.leave()
    assert at_once == 5, (
        "Five times a poll was parked and a socket spoke. Each time it should be "
        f"answered at once, and not by a sweep. It was {at_once} times."
    )


def test_an_answer_brings_all_that_is_new(chat):
    paul = newcomer(chat, "Paul")
    # From exercise 3 on, 200 are kept.
    said = [f"message {number}" for number in range(180 if chat.has_history else 1000)]
    with Client(chat, "Ann") as ann:
        for start in range(0, len(said), 100):
            for text in said[start : start + 100]:
                ann.say(text)
            ann.hears(*said[start : start + 100], because="she said it")
    last = [f"the last of all, {number}" for number in range(10)]
    stamps = [cursor_of(post(chat, text).reply) for text in last]
    reply = ask(chat, paul.lastupdate).answer().reply
    came, said = batch(reply), said + last
    assert came == said, (
        f"{len(said)} messages were said, and one answer should bring them all, in "
        f"order. It brought {len(came)}: {short(str(came), 300)}."
    )
    assert cursor_of(reply) == stamps[-1], (
        "The timestamp of an answer is the cursor for the next question, so it should "
        f"be that of its last message, {stamps[-1]!r}. It is {cursor_of(reply)!r}."
    )
    behind = ask(chat, stamps[4]).answer().reply
    assert batch(behind) == last[5:], (
        f"With the cursor of {last[4]!r}, an answer should begin with {last[5]!r}. It "
        f"brought {batch(behind)}."
    )


@pytest.mark.stages(7, 7)
def test_the_greeting_and_the_answer_to_a_post_are_batches_too(chat):
    greeting = batch(ask(chat, -1).answer().reply)
    assert greeting == ["connected..."], (
        'GET /?lastupdate=-1 should be answered with "data": ["connected..."], a list '
        f"as in every answer. It was {greeting}."
    )
    posted = batch(post(chat, "hello").reply)
    assert posted == ["hello"], (
        'A POST of \'hello\' should be answered with "data": ["hello"], a list as in '
        f"every answer. It was {posted}."
    )


def test_an_answer_that_was_lost_on_the_way_comes_again(chat):
    paul = newcomer(chat, "Paul")
    parked = ask(chat, paul.lastupdate)
    settle(chat)
    post(chat, "news")
    wait_until(parked.is_answered, lambda: "a post wakes the parked poll")
    parked.leave()  # and nobody has read the answer
    paul.hears("news", because="he asks again with his old cursor, as it was lost")
    post(chat, "more")
    paul.hears("more", because="it was posted then")


def test_who_asks_twice_with_one_cursor_gets_one_answer_each(chat):
    at = newcomer(chat, "Paul").lastupdate
    twice = [ask(chat, at), ask(chat, at)]
    settle(chat)
    post(chat, "news")
    came = [batch(request.answer().reply) for request in twice]
    assert came == [["news"], ["news"]], f"Both should be told the news, not {came}."


def test_half_of_the_parked_leave_and_the_rest_miss_nothing(chat):
    at = newcomer(chat, "Paul").lastupdate
    parked = [ask(chat, at) for _ in range(100)]
    settle(chat)
    for request in parked[::2]:
        request.leave()
    post(chat, "who is there?")
    came = [batch(request.answer().reply) for request in parked[1::2]]
    assert came == [["who is there?"]] * 50, (
        f"100 polls were parked and every second one was killed. The other 50 should "
        f"be told what is posted then. They were told {came}."
    )


@pytest.mark.thorough
def test_a_hundred_pollers_have_each_message_within_a_moment(chat):
    times = []
    for number in range(10):
        at = newcomer(chat, "Paul").lastupdate
        parked = [ask(chat, at) for _ in range(100)]
        settle(chat)
        before = time.perf_counter()
        with ExitStack() as stack:
            for request in parked:
                stack.callback(request.leave)
            post(chat, f"message {number}")
            # When half of them have it, and the other half may still wait.
            for request in parked[:50]:
                wait_until(request.is_answered, lambda: "everybody has the message")
            times.append(time.perf_counter() - before)
        if times[-1] < 0.05:
            break  # A busy machine can make some slow, but none fast.
    assert min(times) < 0.05, (
        "100 pollers wait, and somebody posts. At the median a poller should have the "
        f"message within 50 ms. It took {1000 * min(times):.0f} ms at best, "
        f"{1000 * median(times):.0f} usually."
    )


LINE = "x" * 4096
PIECE = 50  # messages that are said one behind the other


def test_who_does_not_read_is_dropped(chat):
    most = 24_000_000  # bytes: what the kernels hold for a client, and a million
    with Client(chat, "Ann") as ann, ExitStack() as stack:
        stalled = [
            stack.enter_context(RawClient(chat, receive_buffer=4096)) for _ in range(3)
        ]
        ports = {raw.socket.getsockname()[1] for raw in stalled}
        said = 0
        while said < most and ports & chat.twisted.peers():
            for _ in range(PIECE):
                ann.say(LINE)
            ann.hears(*[LINE] * PIECE, because="she said it, and she reads")
            said += PIECE * len(LINE)
        kept = len(ports & chat.twisted.peers())
        assert not kept, (
            f"Three clients do not read while {said / 1e6:.0f} MB are said, and {kept} "
            "of them are connected still. What waits for them, waits in memory: drop a "
            "client when more than a million bytes wait for it."
        )


def fall_behind(ann: Client, slow: RawClient) -> int:
    """Let Ann talk until some of it waits in the server for `slow`, who reads nothing.

    That is far less than a million bytes. Returns how many messages she has said, which
    begin with their number.
    """
    count = 0
    while count * len(LINE) < slow.on_its_way() + 400_000:
        numbers = range(count, count + PIECE)
        texts = [f"number {n}. ".ljust(len(LINE), "-") for n in numbers]
        for text in texts:
            ann.say(text)
        ann.hears(*texts, because="she said it, and she reads")
        count += PIECE
    return count


on_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="it asks Linux for its queues"
)


@on_linux
def test_who_reads_nothing_for_a_minute_is_dropped_however_much_is_said(chat):
    with Client(chat, "Ann") as ann, RawClient(chat, receive_buffer=4096) as stalled:
        fall_behind(ann, stalled)
        try:
            for seconds in range(0, 80, 10):
                chat.clock.pass_by(10)
                ann.say(f"{seconds} s")
                ann.hears(f"{seconds} s", because="she said it, and she reads")
            settle(chat)
            port = stalled.socket.getsockname()[1]
            wait_until(
                lambda: port not in chat.twisted.peers(),
                lambda: (
                    "a client has read nothing for 80 seconds, while a short message "
                    "was said every ten. It is dropped after a minute, whatever others "
                    "say meanwhile"
                ),
            )
        finally:
            chat.come_back()  # with the right clock


@on_linux
def test_who_is_slow_for_a_moment_misses_nothing(chat):
    with Client(chat, "Ann") as ann, RawClient(chat, receive_buffer=4096) as slow:
        count = fall_behind(ann, slow)
        last, came = b"number %d. " % (count - 1), b""
        what = "keep who is slow, and tell all that was said meanwhile"
        while last not in came:
            came += slow.receive(what, came[-100:])
    told = [int(number) for number in re.findall(rb"number (\d+)\. ", came)]
    assert told == [*range(count)], (
        f"Who is slow for a moment should be told each message once, in order. Of "
        f"{count} it was told {told}."
    )


def test_who_reads_in_bursts_is_kept(chat):
    with RawClient(chat) as raw, Client(chat, "Ann") as ann:
        for burst in range(10):
            for _ in range(50):
                raw.send_frames((Opcode.TEXT, chat.saying("x" * 4096).encode()))
            because = "200 kB at once are no reason to drop anybody"
            ann.hears(*["x" * 4096] * 50, because=because)
            raw.read(50 * 4096, f"keep who reads in bursts, now in the {burst + 1}.")


def reads_little(chat) -> strangers.Line:
    """A connection for which the system holds little, until it is read."""
    return strangers.Line(chat, receive_buffer=4096)


def test_who_reads_no_answer_gets_one_after_the_other(chat):
    room = chat.rooms()[1]
    at = newcomer(chat, "Paul", room).lastupdate
    for _ in range(10):
        post(chat, LINE, room=room)
    shown = strangers.bearer(chat.token(room))
    question = strangers.request(chat, "GET", f"/{chat.query(at)}", **shown)
    said = strangers.request(chat, "POST", "/", chat.form("at last").encode(), **shown)
    count = 12_000_000 // (10 * len(LINE))  # answers: more than the kernels hold
    with Client(chat, "Ann", room=room) as ann, reads_little(chat) as line:
        line.send(question * count + said)
        settle(chat)
        ann.say("meanwhile")
        because = (
            f"she said it. Before, somebody has asked {count} times on one connection, "
            "then posted on it, and read no answer: answers wait for who reads, and so "
            "does what comes behind them"
        )
        ann.hears("meanwhile", because=because)
        statuses, before = [], b""
        while len(statuses) <= count:
            try:
                data = line.socket.recv(1_000_000)
            except OSError as error:
                data, why = b"", f"{error!r}"
            else:
                why = "The server hung up"
            assert data, (
                f"Who reads at last should have all {count + 1} answers, and has "
                f"{len(statuses)}. {why}."
            )
            came = before + data
            statuses += re.findall(rb"HTTP/1.1 (\d{3})", came)
            before = came[-len("HTTP/1.1 20") :]  # It may come in two pieces.
        assert {*statuses} == {b"200"}, f"All are right, and were {set(statuses)}."
        ann.hears("at last", because="what was asked before has been read")


def test_a_quiet_poll_ends_by_itself(chat):
    room = chat.rooms()[2]
    at = newcomer(chat, "Quinn", room).lastupdate
    if not chat.has_history:
        # A cursor of one's own, and not the stamp of what was said last.
        at += 0.001
    else:
        # From exercise 8 on a server may have to read first what it has acknowledged.
        ask(chat, at, wait=0, room=room).answer()
    request = ask(chat, at, room=room)
    settle(chat)
    assert not request.is_answered(), f"Nothing was said, and it was {request.answer()}"
    chat.clock.pass_by(PROXY_SECONDS)
    settle(chat)
    wait_until(
        request.is_answered,
        lambda: (
            f"a poll in a quiet room ends by itself in {PROXY_SECONDS:g} s, before a "
            "proxy cuts it"
        ),
        10.0,  # It is due already.
    )
    reply = request.answer().reply
    came = (reply["status"], cursor_of(reply), reply["data"])
    same = at if chat.has_history else pytest.approx(at, abs=1e-4)
    assert came == (1, same, []), (
        "A poll in a quiet room should end with nothing new and the same cursor, "
        f'{{"status": 1, "timestamp": {at!r}, "data": []}}. It was {reply}.'
    )
