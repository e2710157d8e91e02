"""Exercise 3, history: whoever comes back gets what was missed, once and in order."""

from __future__ import annotations

import json

import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.contract.test_3_longpoll import says_why
from tests.support.clients import SECONDS, Client
from tests.support.memory import kept_for_each
from tests.support.polling import (
    Reply,
    Request,
    ask,
    cursor_of,
    newcomer,
    numbered,
    post,
    settle,
    texts,
)
from tests.support.servers import new_id

SINCE_STAGE = 8
LIMIT = 4096  # characters in one message
KEPT = 200  # messages


@pytest.fixture
def room(chat) -> str:
    """The path of a room where no other test of this file speaks long texts."""
    return chat.rooms()[1]


def numbers(batch: dict) -> list[int]:
    """The numbers of the messages in a batch. Raises AssertionError if one has none."""
    __tracebackhide__ = True
    data = batch["data"]
    assert all({"seq", "id", "text"} <= {*message} for message in data), (
        "From exercise 3 on, each message in a batch should have its number, the id "
        'that its sender made, and its text: {"seq": 17, "id": "...", "text": "..."}. '
        f"The batch was {batch}."
    )
    return [message["seq"] for message in data]


def is_reset(batch: dict) -> bool:
    """Does a batch say that something may be missing before it?"""
    __tracebackhide__ = True
    assert isinstance(batch.get("reset"), bool), (
        'Each batch should say in "reset", which is true or false, whether something '
        f"may be missing before it. It was {batch}."
    )
    return batch["reset"]


def come_back(chat, how: str, room: str, cursor: tuple | None) -> dict:
    """The batch that a client is given at once which comes back with `cursor`."""
    if how == "socket":
        with Client(chat, "Ann", room, cursor) as ann:
            return ann.first
    answer = ask(chat, cursor, room=room).answer()
    assert answer.status == 200, f"Paul came back with {cursor} and got {answer}."
    return answer.reply


HOW = pytest.mark.parametrize("how", ["socket", "poll"])


@HOW
def test_who_comes_back_gets_what_was_missed(chat, room, how):
    at = numbered(post(chat, "before", room=room).reply)
    said = [f"missed {number}" for number in range(5)]
    for text in said:
        post(chat, text, room=room)
    batch = come_back(chat, how, room, at)
    assert texts(batch) == said, (
        f"Somebody left with the cursor {at} and came back by {how}. Meanwhile were "
        f"said {said}, and that should be told at once. It was told {texts(batch)}."
    )
    assert not is_reset(batch), f"Nothing is missing, so why is it a reset? {batch}"


def test_sockets_and_polls_have_the_same_cursor(chat, room):
    at = numbered(post(chat, "before", room=room).reply)
    with Client(chat, "Ann", room) as ann:
        assert ann.cursor == at, (
            f"A POST was answered with {at}. The next socket that comes should stand "
            f"there, too, but it stands at {ann.cursor}."
        )
        ann.say("by socket")
        ann.hears("by socket", because="she said it")
        polled = texts(ask(chat, at, room=room).answer().reply)
        assert polled == ["by socket"], (
            f"A socket said 'by socket' after {at}. A poll with that cursor should be "
            f"told so. It was told {polled}."
        )
        post(chat, "by POST", room=room)
    assert texts(come_back(chat, "socket", room, ann.cursor)) == ["by POST"], (
        "She left when she had heard one of two messages, and comes for the other."
    )


def test_the_numbers_leave_no_gap_and_each_room_has_its_own(chat, room):
    elsewhere = chat.rooms()[2]
    epoch, at = numbered(post(chat, "before", room=room).reply)
    for number in range(4):
        post(chat, f"here {number}", room=room)
        post(chat, f"elsewhere {number}", room=elsewhere)
    batch = come_back(chat, "poll", room, (epoch, at))
    assert numbers(batch) == [at + 1, at + 2, at + 3, at + 4], (
        f"Four messages were said in a room after message {at}, and some in another. "
        f"Their numbers should follow, without a gap. They are {numbers(batch)}."
    )
    assert numbered(batch) == (epoch, at + 4), (
        f"A batch stands where its last message does. It stands at {numbered(batch)}."
    )
    another, _ = numbered(post(chat, "elsewhere, at last", room=elsewhere).reply)
    assert another != epoch, (
        f"Each room has a log of its own, and each log a name. Two have the same name, "
        f"{epoch!r}: a cursor of one room would be taken for one of the other."
    )


@HOW
def test_a_newcomer_is_shown_what_was_said_last(chat, room, how):
    for text in ("one", "two"):
        post(chat, text, room=room)
    batch = come_back(chat, how, room, None)
    assert texts(batch)[-2:] == ["one", "two"], (
        f"Who comes by {how} for the first time should be shown what was said last. "
        f"It ends with {texts(batch)[-2:]}."
    )
    assert not is_reset(batch), f"Who is new here has missed nothing. It was {batch}."


@HOW
def test_nothing_is_missed_and_nothing_comes_twice_while_others_speak(chat, room, how):
    with Client(chat, "Bob", room) as bob:
        cursor, heard = bob.cursor, []
        for number in range(30):
            # These are on their way, in whatever order, when she comes.
            bob.say(f"{number} a")
            bob.say(f"{number} b")
            if how == "poll":
                batch = ask(chat, cursor, room=room, wait=0).answer().reply
                heard += texts(batch)
                cursor = cursor_of(batch)
                continue
            with Client(chat, "Ann", room, cursor) as ann:
                heard += texts(ann.first)
                while len(heard) < 2 * number + 2:
                    heard.append(ann.next())
                cursor = ann.cursor
        bob.say("the last one")
        while heard[-1:] != ["the last one"]:
            batch = ask(chat, cursor, room=room).answer().reply
            heard, cursor = heard + texts(batch), cursor_of(batch)
    said = [f"{number} {which}" for number in range(30) for which in "ab"]
    assert heard == [*said, "the last one"], (
        f"She came thirty times by {how} while Bob spoke, each time with her cursor. "
        "Between the history and what is said now there should be no seam. She heard "
        f"{heard}."
    )


BEYOND = {
    "another-log": lambda epoch, seq: ("another" + epoch, seq),
    "from-the-future": lambda epoch, seq: (epoch, seq + 1),
    "from-a-far-future": lambda epoch, seq: (epoch, 10**30),
    "negative": lambda epoch, seq: (epoch, -1),
}


@HOW
@pytest.mark.parametrize("which", BEYOND)
def test_a_cursor_that_proves_nothing_is_a_reset(chat, room, how, which):
    at = numbered(post(chat, "the newest", room=room).reply)
    cursor = BEYOND[which](*at)
    batch = come_back(chat, how, room, cursor)
    assert is_reset(batch), (
        f"Somebody comes back by {how} with the cursor {cursor}, and the newest is "
        f"{at}. What was missed cannot be told, so the batch should say "
        f'"reset": true. It was {batch}.'
    )
    assert texts(batch)[-1:] == ["the newest"] and numbered(batch) == at, (
        f"A reset should tell what was said last, and where it stands. It was {batch}."
    )


@pytest.mark.stages(8, 8)  # Exercise 4 keeps the log.
def test_after_a_restart_there_is_another_epoch(chat, room):
    before = [numbered(post(chat, "one", room=room).reply) for _ in range(3)]
    chat.restart()
    after = [numbered(post(chat, "one", room=room).reply) for _ in range(3)]
    assert before[0][0] != after[0][0], (
        "The server was started anew and has forgotten what was said, but its log has "
        f"the same epoch, {after[0][0]!r}. Who comes back would not be told."
    )
    for how in ("socket", "poll"):
        batch = come_back(chat, how, room, before[-1])
        assert is_reset(batch) and len(texts(batch)) == 3, (
            f"Who comes back by {how} after a restart should be told that something "
            f"may be missing, and what was said since. It was told {batch}."
        )


def test_the_newest_messages_are_kept_and_what_is_below_is_a_reset(chat, room):
    at = numbered(post(chat, "long ago", room=room).reply)
    with Client(chat, "Ann", room) as ann:

        def talk(count: int) -> None:
            for number in range(count):
                ann.say(f"{number}")
            ann.hears(*map(str, range(count)), because="she said it")

        talk(KEPT // 2)
        talk(KEPT - KEPT // 2)
        for how in ("socket", "poll"):
            batch = come_back(chat, how, room, at)
            assert not is_reset(batch) and len(texts(batch)) == KEPT, (
                f"{KEPT} messages were said since the cursor {at}, and so many are "
                f"kept. Who comes back by {how} should be told all of them, and of no "
                f'reset. It was told {len(texts(batch))}, "reset": {batch["reset"]}.'
            )
        talk(1)
    for how in ("socket", "poll"):
        batch = come_back(chat, how, room, at)
        assert is_reset(batch), (
            f"{KEPT + 1} messages were said since the cursor {at}, and {KEPT} are "
            'kept. So the server should say "reset": true. It told '
            f"{len(texts(batch))} messages, and no reset."
        )
        kept = numbers(batch)
        assert kept == list(range(ann.cursor[1] - KEPT + 1, ann.cursor[1] + 1)), (
            f"A reset should tell the newest {KEPT} messages. It told {len(kept)}, "
            f"the first with the number {kept[0]}, the last with {kept[-1]}."
        )
    newcomer = texts(come_back(chat, "poll", room, None))
    assert len(newcomer) == KEPT, f"Who is new is told {KEPT}, not {len(newcomer)}."


def test_the_longest_text_has_as_many_characters_however_they_are_written(chat, room):
    text = "\N{GRINNING FACE}" * LIMIT
    with Client(chat, "Ann", room) as ann:
        # In JSON, twelve letters for each: \\ud83d\\ude00.
        ann.say(text)
        because = f"a text has {LIMIT} characters at most, and these are as many"
        ann.hears(text, because=because)


def test_memory_does_not_grow_with_the_conversation(chat, room):
    with Client(chat, "Ann", room) as ann:

        def talk(count: int) -> None:
            for _ in range(count // 50):
                for _ in range(50):
                    ann.say("x" * LIMIT)
                ann.hears(*["x" * LIMIT] * 50, because="she said it")

        kept = kept_for_each(chat, talk, 1000, LIMIT // 2)
    assert kept < LIMIT / 2, (
        f"Messages of {LIMIT} characters are said by the thousand, and the server "
        f"grows by {kept:.0f} bytes for each. It should keep a bounded number of them."
    )


@pytest.mark.parametrize("first", ["speaker", "comer"])
def test_what_is_said_while_somebody_comes_is_told_once(chat, room, first):
    server = psutil.Process(chat.twisted.process.pid)
    for number in range(5):
        with Client(chat, "Bob", room) as bob, opened(chat) as comer:
            epoch, seq = bob.cursor
            steps = [
                lambda bob=bob, number=number: bob.say(f"said {number}"),
                lambda comer=comer, at=bob.cursor: comer.send(
                    chat.hello(chat.token(room), at)
                ),
            ]
            # Both are there when the server looks next, in this order.
            server.suspend()
            try:
                for step in steps if first == "speaker" else reversed(steps):
                    step()
            finally:
                server.resume()
            bob.hears(f"said {number}", because="he said it")
            bob.say(f"the end {number}")
            came = []
            while seq + 2 not in came:
                batch = json.loads(comer.recv(timeout=SECONDS))
                came += numbers(batch) if "data" in batch else []
        assert came == [seq + 1, seq + 2], (
            f"Somebody came with the cursor {(epoch, seq)} in the very moment in which "
            "a message was said, and then another one was. Each should be told once, "
            f"in the history or afterwards: {[seq + 1, seq + 2]}. The numbers that "
            f"came are {came}."
        )


def opened(chat):
    """A socket that is open and has not yet said its token."""
    return connect(
        chat.ws_url, origin=chat.origin, proxy=None, compression=None, max_size=None
    )


@pytest.mark.stages(8, 10)  # Later, who is new is told the newest that fit.
def test_who_comes_to_much_that_was_said_is_told_all_of_it(chat):
    [room] = chat.make_rooms("Much was said")  # Elsewhere it would be told anew.
    longest = "\N{LATIN SMALL LETTER E WITH ACUTE}" * LIMIT
    with Client(chat, "Ann", room) as ann:
        for _ in range(KEPT):
            ann.say(longest)
            ann.hears(longest, because="she said it")
    with Client(chat, "Bob", room) as bob:
        came = bob.first["data"]
        assert len(came) == KEPT, (
            f"{KEPT} messages were said, each of {LIMIT} letters of two bytes. Who "
            "comes is told all of them, though that is more than a million bytes: it "
            f"counts for no limit. It was told {len(came)}."
        )
        bob.say("here I am")
        bob.hears("here I am", because="he is in")


def test_an_id_is_known_within_its_room(chat, room):
    elsewhere, name = chat.rooms()[2], new_id()
    for path, text in ((room, "in one room"), (elsewhere, "in another")):
        answer = post(chat, text, name, room=path)
        assert texts(answer.reply) == [text], (
            "Two clients in two rooms happen to choose the same id. These are two "
            f"messages. The second POST was answered with {answer.reply}."
        )
        last = texts(come_back(chat, "poll", path, None))[-1:]
        assert last == [text], (
            f"Who comes to {path} then, should be told {text!r} last, "
            f"and is told {last}."
        )


def test_a_post_behind_a_lost_answer_is_stored_once(chat, room):
    paul = newcomer(chat, "Paul", room)
    name = new_id()
    first = post(chat, "said once", name, room=room).reply
    post(chat, "and then", room=room)
    again = post(chat, "said once", name, room=room).reply
    assert numbers(again) == numbers(first), (
        "A POST was answered, and the answer lost, so it is sent again with the same "
        "id. It should be acknowledged with the number of the first, "
        f"{numbers(first)}. The answer was {again}."
    )
    assert numbered(again) == numbered(first), (
        "The seq of a batch is that of the last message in it, here of an old one, "
        f"{numbered(first)}. It was {numbered(again)}."
    )
    assert texts(ask(chat, paul.lastupdate, room=room).answer().reply) == [
        "said once",
        "and then",
    ], "A message that is sent again with the same id is the same message."


def test_a_socket_that_says_it_again_is_told_the_first_ones_number(chat, room):
    name = new_id()
    with Client(chat, "Ann", room) as ann, Client(chat, "Bob", room) as bob:
        ann.say("said once", name)
        ann.hears("said once", because="she said it")
        _, seq = ann.cursor
        ann.say("and then")
        ann.hears("and then", because="she said it")
        ann.say("said once", name)
        again = ann.batch(ann.receive())
        assert numbers(again) == [seq], (
            "A socket says a message again, with the same id, as it has not heard it. "
            f"It should be told the number of the first, {seq}. It was told {again}."
        )
        assert numbered(again)[1] == seq, (
            f"The seq of a batch is that of the last message in it, {seq}: {again}"
        )
        ann.say("the end")
        bob.hears("said once", "and then", "the end", because="each was said once")


def test_an_id_is_known_as_long_as_its_message_is_kept(chat, room):
    texts = [f"{number}" for number in range(KEPT)]
    ids = [new_id() for _ in texts]
    with Client(chat, "Ann", room) as ann:
        for text, id in zip(texts, ids, strict=True):
            ann.say(text, id)
        ann.hears(*texts, because="she said it")
        newest = ann.cursor[1]
    # To say one again makes it no younger, and no other one older.
    for number, count in ((0, 0), (1, 1)):
        for _ in range(count):
            post(chat, "one more", room=room)
        reply = post(chat, texts[number], ids[number], room=room).reply
        assert numbers(reply) == [newest - KEPT + 1 + number], (
            f"{KEPT} messages were said, then the oldest was said again with its id, "
            f"and one more came. So {KEPT} are kept, and each of them is known by its "
            f"id. Number {newest - KEPT + 1 + number} was said again, and acknowledged "
            f"as {numbers(reply)}."
        )


def test_by_whichever_door_it_comes_again_it_is_the_same_message(chat, room):
    name = new_id()
    with Client(chat, "Ann", room) as ann:
        first = numbers(post(chat, "by POST", name, room=room).reply)
        ann.hears("by POST", because="it was posted")
        ann.say("by POST", name)
        assert numbers(ann.batch(ann.receive())) == first, "The id is the same."
        ann.say("the end")
        ann.hears("the end", because="what was said twice has been heard already")


@pytest.mark.parametrize(
    "frame",
    [
        "hello",
        "[]",
        "null",
        "17",
        "{}",
        '{"text": "no id"}',
        '{"id": "no text"}',
        '{"id": 1, "text": "a number"}',
        '{"id": "", "text": "an empty id"}',
        '{"id": "%s", "text": "a long id"}' % ("x" * 1000),
        '{"id": "x", "text": ["a list"]}',
        "[" * 10_000,
        '{"id": "x", "text": "never ends',
    ],
    ids=range(13),
)
def test_what_is_no_message_ends_only_its_speaker(chat, room, frame):
    with Client(chat, "Ann", room) as ann, Client(chat, "Bob", room) as bob:
        ann.send(frame)
        ann.is_closed_with(4400, because=f"{frame[:60]!r} is no message")
        bob.say("hello")
        bob.hears("hello", because="Ann's message was refused, and his was not")


def is_refused(chat, room: str, hello: str, *codes: int) -> None:
    """Say `hello` on a new socket, and see it closed, with one of `codes`."""
    __tracebackhide__ = True
    with Client(chat, "Bob", room) as bob:
        with opened(chat) as socket:
            socket.send(hello)
            try:
                instead = f"it was told {socket.recv(timeout=SECONDS)}"
            except TimeoutError:
                instead = f"it is still open after {SECONDS:g} s"
            except ConnectionClosed as closed:
                instead = f"the code was {closed.rcvd.code if closed.rcvd else 'none'}"
        assert instead in [f"the code was {code}" for code in codes], (
            f"A socket whose first frame is {hello} should be closed with "
            f"{' or '.join(map(str, codes))}. Instead: {instead}."
        )
        bob.say("hello")
        bob.hears("hello", because="who was refused is nothing to him")


@pytest.mark.parametrize("seq", ['"1"', "1.5", "null", "[]", "1e999", "true"])
def test_a_place_that_is_no_number_is_refused(chat, room, seq):
    token = json.dumps(chat.token(room))
    is_refused(chat, room, f'{{"token": {token}, "epoch": "x", "seq": {seq}}}', 4400)


@pytest.mark.parametrize("half", ['"epoch": "x"', '"seq": 1'])
def test_half_a_place_is_refused(chat, room, half):
    token = json.dumps(chat.token(room))
    is_refused(chat, room, f'{{"token": {token}, {half}}}', 4400)


@pytest.mark.parametrize("token", ["null", "17", '"half \\ud83d"', "[]"])
def test_a_token_that_is_no_text_is_refused(chat, room, token):
    # It is a frame without what it needs, or with a token that is none of ours.
    is_refused(chat, room, f'{{"token": {token}}}', 4400, 4401)


HALF = ["?seq=", "?seq=1", "?epoch=y", "?seq=x&epoch=y", "?seq=1.5"]


@pytest.mark.parametrize("query", HALF)
def test_half_a_cursor_is_refused(chat, query):
    says_why(Request(chat, "GET", f"/{query}").answer(), 400, f"GET /{query}")


@pytest.mark.parametrize("id", ["", "x" * 1000], ids=["empty", "long"])
def test_a_post_needs_an_id(chat, id):
    headers = {
        "Origin": chat.origin,
        "Content-Type": "application/x-www-form-urlencoded",
    }
    body = f"new_message=hello&id={id}"
    answer = Request(chat, "POST", "/", body, headers).answer()
    says_why(answer, 400, f"A POST with the id {id[:20]!r}")


def test_an_id_may_have_one_character_and_64(chat, room):
    for id in ("q", "r" * 64):
        status = post(chat, "by a POST", room=room, id=id).status
        assert status == 200, (
            f"An id may have up to 64 characters. A POST with the id {id!r} was "
            f"answered with {status}."
        )
    with Client(chat, "Ann", room) as ann:
        for id in ("s", "t" * 64):
            ann.say(text := f"by a socket, with the id {id}", id)
            ann.hears(text, because="an id may have up to 64 characters")


def test_who_comes_back_by_polling_can_be_told_at_once(chat, room):
    at = numbered(post(chat, "before", room=room).reply)
    parked = ask(chat, at, room=room)
    settle(chat)
    assert not parked.is_answered(), "With nothing new to say, an answer waits."
    parked.leave()
    reply: Reply = ask(chat, at, room=room, wait=0).answer().reply
    assert (numbered(reply), reply["data"], is_reset(reply)) == (at, [], False), (
        "With wait=0 a poll asks whether it is in, and should be answered at once, "
        f"here with nothing new. The answer was {reply}."
    )


def test_half_a_character_travels(chat, room):
    # As JavaScript may cut one in two. In UTF-8 there is no such thing, so a database
    # cannot store it, and exercise 4 puts a sign in its place.
    with Client(chat, "Ann", room) as ann, Client(chat, "Bob", room) as bob:
        ann.say("half \ud83d")
        heard = bob.next()
        stored = "half \ufffd" if chat.is_persistent else None
        assert heard in ("half \ud83d", stored), (
            f"Ann said 'half ' and half a character, in JSON. Bob heard {heard!r}."
        )
    told = texts(come_back(chat, "poll", room, None))[-1]
    assert told == heard, (
        f"A socket heard {heard!r}, half a character at its end. Who comes by a poll "
        f"should be told the same. It was told {told!r}."
    )
