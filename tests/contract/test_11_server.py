"""Exercise 7, strangers: what they may read, keys, what to watch, a graceful end."""

from __future__ import annotations

import copy
import json
import re
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from http.client import HTTPConnection
from urllib.parse import urljoin

import pytest
from websockets.frames import Close, Frame, Opcode

from tests.contract.test_3_longpoll import says_why
from tests.contract.test_10_accounts import (
    LOG_OUT,
    fresh_name,
    login_form,
    page_text,
    signs_up,
)
from tests.contract.test_11_strangers import (
    ANN,
    BOB,
    CY,
    MESSAGES,
    flood_by_post,
    knock,
)
from tests.support.accounts import Visitor
from tests.support.clients import CRLF, SECONDS, Client
from tests.support.polling import Poller, ask, cursor_of, post, settle
from tests.support.servers import (
    PASSWORD,
    USERS,
    Chat,
    comes_true,
    new_id,
    wait_until,
)
from tests.support.strangers import (
    HOME,
    Line,
    Wire,
    another_address,
    bearer,
    look_in,
    polls_of,
    receive,
    request,
    say,
    shake_hands,
)

SINCE_STAGE = 11
BODY = 65_536  # bytes of a POST's body
REFUSED = re.compile(rb"HTTP/1\.1 4\d\d ")
AT_ONCE = 210_000  # bytes of an answer: 200 kB of messages, and what is around them
GOODBYE = 5  # seconds for the answer to a close frame
STOP_SECONDS = 10  # that a server has to end
LIMIT = 4096  # characters in one message
SOON = 5.0  # seconds, on a busy machine, for what happens within one


# --- What strangers may read ----------------------------------------------------------


def test_every_answer_says_nosniff(usual, chat, room):
    token = usual.token(room)
    shown = bearer(token)
    answers = {}
    for what, asks in {
        "GET": lambda line: line.ask(**shown),
        "OPTIONS": lambda line: line.ask("OPTIONS"),
        "POST": lambda line: say(line, room, ANN, "hello"),
        "POST without a message": lambda line: line.ask("POST", **shown),
        "another method": lambda line: line.ask("PUT", **shown),
        "GET without a token": lambda line: line.ask(),
        "GET of nothing": lambda line: line.ask("GET", "/nothing"),
        "GET from another site": lambda line: line.ask(Origin="null"),
        "GET for another host": lambda line: line.ask(Host="evil.example"),
        "no handshake": lambda line: line.ask("GET", "/ws"),
        "POST to the sockets": lambda line: line.ask("POST", "/ws"),
        "POST that is too large": lambda line: line.ask(
            "POST", "/", Content_Length=str(BODY * 2), **shown
        ),
    }.items():
        with Line(usual) as line:
            answers[what] = asks(line)
    with chat.beside(CHAT_KNOCKS="1/60") as other:
        look_in(other)
        answers["GET after too many knocks"] = look_in(other)
        answers["a handshake after too many knocks"] = shake_hands(other)
    for what, answer in answers.items():
        said = answer.headers.get_all("X-Content-Type-Options", [])
        assert said == ["nosniff"], (
            f"{what} was answered {answer.status}. Every answer should have one header "
            '"X-Content-Type-Options: nosniff", or a browser may take for a page what '
            f"is none. It has {said}."
        )


POLICY = ("Content-Security-Policy", "Content-Security-Policy-Report-Only")


def policy_of(answer) -> dict[str, list[str]]:
    """The directives of the Content-Security-Policy of an answer."""
    parts = [part.split() for part in answer.headers.get(POLICY[0], "").split(";")]
    return {part[0].lower(): part[1:] for part in parts if part}


def test_each_page_says_what_it_may_load_and_who_may_frame_it(chat, places):
    for path, user in [
        ("/chats/", ANN),
        (places[0], ANN),
        (places[0].replace("/chats/", "/chats/long_poll/"), ANN),
        ("/chats/", None),
    ]:
        answer = chat.get(path, user=user)
        while answer.status == 302:
            path = urljoin(path, answer.headers["Location"])
            answer = chat.get(path, user=user)
        policy = policy_of(answer)
        assert policy, f"{path} should have a {POLICY[0]}. It has {answer.headers}."
        scripts = policy.get("script-src", policy.get("default-src", ["*"]))
        assert scripts in (["'self'"], ["'none'"]) or all(
            source == "'self'" or source.startswith(("'nonce-", "'sha"))
            for source in scripts
        ), (
            f"{path} may run the scripts of its own server only: script-src 'self'. "
            f"Its policy says {scripts}."
        )
        assert policy.get("frame-ancestors") == ["'none'"], (
            f"{path} should be in no frame of anybody: frame-ancestors 'none'. Its "
            f"policy says {policy.get('frame-ancestors')}."
        )
        wide = [
            f"{name} {' '.join(sources)}"
            for name, sources in policy.items()
            if {"*", "http:", "https:", "ws:", "wss:", "'unsafe-eval'"} & {*sources}
        ]
        assert not wide, f"The policy of {path} lets anybody in: {wide}."
        assert answer.headers.get("X-Content-Type-Options") == "nosniff", path
        assert "Referrer-Policy" in answer.headers, (
            f"{path} should say in Referrer-Policy what others are told of it: an "
            "address of ours may be a secret, as an invitation is."
        )


def test_a_room_may_speak_to_the_chat_server_and_to_nobody_else(chat, places):
    for path in (places[0], places[0].replace("/chats/", "/chats/long_poll/")):
        sources = policy_of(chat.get(path)).get("connect-src", [])
        ports = {"'self'", f"{HOME}:{chat.chat_port}", f"localhost:{chat.chat_port}"}
        strange = [re.sub(r"^\w+://|/.*$", "", source) for source in sources]
        strange = [source for source in strange if source not in ports]
        assert sources and not strange, (
            f"The policy of {path} should say in connect-src to whom its scripts may "
            f"speak: to its own server, and to the chat server on port "
            f"{chat.chat_port}. It says {sources}."
        )


@pytest.mark.parametrize("said", ["forged line", "password", "token", "message"])
def test_no_log_has_what_is_none_of_its_business(usual, chat, room, eve, said):
    if said == "forged line":
        start = usual.twisted.written()
        escape, line = "\x1b[2J", "\r\n2026-01-01 an honest line"
        with Line(usual) as stranger:
            stranger.ask(Origin=f"http://{escape}")
        for changes in (
            {"path": "/?seq=%1b%5b2J%0d%0a2026-01-01 an honest line".replace(" ", "+")},
            {"Host": escape},
            {"User_Agent": escape, "Origin": "null"},
            {"Referer": escape, "Origin": "null"},
            {"Authorization": f"Bearer {escape}"},
        ):
            with Line(usual) as stranger:
                stranger.ask(**changes)
        with Wire(usual, eve, room) as wire:
            wire.is_in().text(json.dumps({"id": line + escape, "text": escape}))
            wire.text(json.dumps({f"{line}{escape}": line}))
            wire.closing("close who speaks in strange words")
        with Wire(usual, eve, room) as wire:
            reason = Close(4000, line + escape).serialize()
            wire.is_in().frames(Frame(Opcode.CLOSE, reason))
            wire.closing("answer a close")
        settle(usual)
        log = usual.twisted.output(start)
        assert "\x1b" not in log and "\n2026-01-01 an honest" not in log, (
            "A client has sent escapes for the terminal, and a line break with a line "
            "behind it. In the log they should be escaped, or who reads it reads what "
            f"a stranger has written. It says:\n{log}"
        )
    elif said == "password":
        secret = f"a secret {new_id()}"
        visitor = Visitor(chat)
        form = login_form(visitor)
        visitor.submit(form, username="nobody of that name", password=secret)
        assert secret not in chat.django.output(), "A password stands in Django's log."
    elif said == "token":
        token = usual.token(room, eve)
        with Line(usual) as line:
            for changes in ({"Origin": "null"}, {"Host": "evil.example"}, {}):
                line.ask("PUT", **bearer(token) | changes)
        with Wire(usual, eve, room) as wire:
            wire.is_in().text(json.dumps({"token": token + "x"}))
            wire.closing("close who shows a token that is none")
        settle(usual)
        assert token not in usual.twisted.output(), (
            "Who has a token can speak as its user. It stands in the log."
        )
    else:
        secret = new_id()
        flood_by_post(usual, room, eve)
        for user, text in ((eve, "too much "), (ANN, "x" * LIMIT)):
            with Line(usual) as line:
                say(line, room, user, f"{text}{secret}")
        with Wire(usual, eve, room) as wire:
            wire.is_in()
            for number in range(2 * MESSAGES):
                wire.text(usual.saying(f"{number} is too much {secret}"))
            wire.closing("close who says too much")
        settle(usual)
        assert secret not in usual.twisted.output(), (
            "What people say to each other is none of the log's business. A message "
            "that was refused stands there."
        )


STRANGE = {
    "a Content-Type that is no text": (
        b"POST / HTTP/1.1",
        b"Content-Length: 3",
        b"Content-Type: a\x85b",
        b"",
        b"a=b",
    ),
    "a POST to an address that is no text": (
        b"POST /ws?\x8d HTTP/1.1",
        b"Content-Length: 0",
    ),
    "another protocol than a WebSocket": (
        b"GET /ws?\xa3 HTTP/1.1",
        b"Connection: Upgrade",
        b"Upgrade: h2c",
    ),
    "an address that is no text": (b"GET /\xff\xfe HTTP/1.1",),
    "a Host that is no text": (b"GET / HTTP/1.1", b"Host: \xff\xfe"),
    "a token that is no text": (b"GET / HTTP/1.1", b"Authorization: Bearer \xff\xfe"),
    "a length that is none": (b"POST / HTTP/1.1", b"Content-Length: -5"),
    "a length of 5000 digits": (
        b"POST / HTTP/1.1",
        b"Content-Length: " + b"9" * 5000,
    ),
    "two lengths": (b"POST / HTTP/1.1", b"Content-Length: 5", b"Content-Length: 6"),
    "a chunk of no length": (
        b"POST / HTTP/1.1",
        b"Transfer-Encoding: chunked",
        b"",
        b"zz",
        b"",
    ),
    "a multipart body without a boundary": (
        b"POST / HTTP/1.1",
        b"Content-Length: 3",
        b"Content-Type: multipart/form-data",
        b"",
        b"a=b",
    ),
    "no request at all": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",),
}


def test_nobody_is_told_more_than_so_many_bytes_at_once(usual):
    [room] = usual.make_rooms(new_id())
    usual.let_in([loud := new_id()[:8]], [room])
    token = usual.token(room, loud)
    for _ in range(10):  # in JSON half a megabyte, where an emoji takes twelve bytes
        last = new_id()
        said = post(usual, last.rjust(LIMIT, "\N{GRINNING FACE}"), token=token)
        assert said.status == 200, f"A message of emoji was answered {said.status}."
    with Line(usual) as line:
        line.send(request(usual, **bearer(token), Connection="close"))
        came = b"".join(iter(lambda: receive(line), b""))
    assert last.encode() in came and len(came) < AT_ONCE, (
        f"Ten messages were said, of {LIMIT} characters each, most of them emoji. Who "
        "is new is told the newest of them, of 200 kB in all at most. The answer had "
        f"{len(came)} bytes, and {'ends' if last.encode() in came else 'does not end'} "
        "with the newest."
    )


def strange(chat, what: str) -> bytes:
    """The bytes of a request of STRANGE."""
    first, *more = STRANGE[what]
    ours = [f"Origin: {chat.origin}".encode()]
    if not any(line.startswith(b"Host") for line in more):
        ours.append(f"Host: {HOME}:{chat.chat_port}".encode())
    lines = [first, *ours, *more]
    return CRLF.join(lines if b"" in lines else [*lines, b"", b""])


@pytest.mark.parametrize("what", STRANGE)
def test_strange_bytes_are_refused_without_a_traceback(usual, room, honest, what):
    with Wire(usual, honest, room) as wire, Line(usual) as line:
        wire.is_in()
        line.send(strange(usual, what))
        answer = line.answer(f"answer {what}")
        assert 400 <= answer.status < 500, (
            f"{what[:1].upper()}{what[1:]} is the client's mistake, and should be "
            f"answered with 400 or its like. It was {answer.status}."
        )
        wire.text(usual.saying("undisturbed"))
        wire.hears("undisturbed", f"somebody else has sent {what}")


@pytest.mark.parametrize("what", STRANGE)
def test_strange_bytes_behind_a_poll_trouble_nobody_else(usual, room, honest, what):
    token, word = usual.token(room, honest), new_id()
    at = cursor_of(post(usual, "before it", token=token).reply)
    shown = bearer(usual.token(room, ANN))
    poll = request(usual, "GET", f"/{usual.query(at)}", **shown)
    other = ask(usual, at, token=token)
    with closing(other.connection), Line(usual) as line:
        line.send(poll + strange(usual, what))
        settle(usual)
        said = post(usual, word, token=token)
        assert said.status == 200, (
            "A poll is parked, and behind it on the same connection is a request with "
            f"{what}. Then somebody else posts. That was answered {said.status}."
        )
        because = f"it was said. Behind a poll, {what} waits to be read"
        told = other.answer().reply  # perhaps only that somebody is no more here
        eve = Poller(usual, "Eve", room=room)
        eve.take(told)
        eve.hears(word, because=because)
        came, has_ended = b"", False
        with suppress(OSError):  # It says no more, and does not close either.
            while not (REFUSED.search(came) or has_ended):
                came += (new := line.socket.recv(65536))
                has_ended = not new
        assert REFUSED.search(came) or has_ended, (
            "Behind a parked poll, on the same connection, comes a request with "
            f"{what}. When the poll has its answer, so should the other have, with "
            f"400 or its like, or the connection ends. What came was {came!r}."
        )
    settle(usual)  # What is logged is logged by now.


REFUSALS = {
    "a binary message": Frame(Opcode.BINARY, b"x").serialize(mask=True),
    "no JSON": Frame(Opcode.TEXT, b"no JSON").serialize(mask=True),
    "no UTF-8": Frame(Opcode.TEXT, b"\xff\xfe").serialize(mask=True),
    # With a bit that means nothing, and a mask of zeros.
    "a frame of no kind": b"\xc1\x82" + bytes(4) + b"{}",
}


@pytest.mark.parametrize("what", REFUSALS)
@pytest.mark.parametrize("said", [True, False], ids=["in-a-room", "without-a-token"])
def test_frames_behind_a_refused_one_are_nothing(usual, room, eve, what, said):
    behind = [
        Frame(Opcode.PING, b"x"),
        Frame(Opcode.PONG, b"x"),
        Frame(Opcode.TEXT, usual.saying("behind it").encode()),
        Frame(Opcode.CLOSE, Close(1000, "").serialize()),
        Frame(Opcode.PING, b"x"),
    ]
    with Wire(usual, eve, room, said=said) as wire:
        if said:
            wire.is_in()
        # All in one piece, so the rest is there before the server can close.
        pieces = [frame.serialize(mask=True) for frame in behind]
        wire.send(REFUSALS[what] + b"".join(pieces))
        wire.closing(f"close who sends {what}")
        wire.is_ended(f"it has sent {what}")
    settle(usual)  # What is logged is logged by now.


# --- Tokens ---------------------------------------------------------------------------


def test_a_token_for_what_is_no_number_of_a_room_is_none_of_ours(usual):
    rooms = ["01", " 1", "1 ", "x", "", True, 1.0, 0, -1, None, [1]]
    code = f"""
import json
from chat.tokens import make_token
{USERS}
ann, told = users.get(username="Ann"), []
for room in {rooms!r}:
    try:
        told.append(make_token(room, ann))
    except Exception:
        told.append(None)
print(json.dumps(told))
"""
    try:
        told = json.loads(usual.shell(code).splitlines()[-1])
    except AssertionError:
        pytest.skip("chat.tokens has no make_token(room, user) for strange tokens")
    for room, token in zip(rooms, told, strict=True):
        if token is None:
            continue
        what = f"GET with a token that you have signed for the room {room!r}"
        with Line(usual) as line:
            says_why(line.ask(**bearer(token)), 401, what)
        with Wire(usual, said=False) as wire:
            wire.say_token(token)
            because = f"its token is for the room {room!r}, which is no number of one"
            wire.is_closed_with(4401, because=because)


OLD, NEW = {"CHAT_KEY": "the key before"}, {"CHAT_KEY": "the key of now"}
RENEWING = NEW | {"CHAT_KEY_BEFORE": "the key before"}


def opens(chat, how: str, token: str) -> bool:
    """Is this token good, at one of the doors?"""
    if how == "poll":
        return look_in(chat, token=token).status == 200
    with Wire(chat, said=False) as wire:
        wire.say_token(token)
        return wire.closing_or_in()


@pytest.mark.slow
def test_a_key_can_be_renewed_without_logging_anybody_out(chat, room):
    before, now = (chat.token_under(room, env) for env in (OLD, RENEWING))
    other = chat.token(room)  # by a third key, which was never one of these
    with chat.beside(**RENEWING) as renewing:
        for how in ("socket", "poll"):
            for token, good, what in [
                (now, True, "that the key of now has signed"),
                (before, True, "that the key before has signed, CHAT_KEY_BEFORE,"),
                (other, False, "that neither of the two keys has signed"),
            ]:
                assert opens(renewing, how, token) == good, (
                    "While a key is renewed, tokens of both are about, until the last "
                    f"one of the old key ends. A token {what} should be "
                    f"{'good' if good else 'refused'}, by {how}, and was not."
                )
        renewing.come_back(CHAT_KEY_BEFORE="")
        assert opens(renewing, "poll", now) and not opens(renewing, "poll", before), (
            "CHAT_KEY_BEFORE is for tokens that are about already. What Django gives "
            "out is signed by CHAT_KEY, so when there is no key before any more, its "
            "tokens are good, and the older ones are not."
        )


# --- What to watch --------------------------------------------------------------------

# A line of Prometheus' text format: a name, labels, a number.
SAMPLE = re.compile(
    r'([a-zA-Z_:][\w:]*)(?:\{((?:\w+="(?:[^"\\\n]|\\.)*",?)*)\})? (\S+)(?: \d+)?'
)


def samples(text: str) -> dict[str, float]:
    """What is measured, by name and labels. Raises AssertionError."""
    __tracebackhide__ = True
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            sample = SAMPLE.fullmatch(line)
            assert sample, f"/metrics has a line that Prometheus cannot read: {line!r}."
            name, labels, number = sample.groups()
            said = ",".join(sorted(re.findall(r'\w+="[^"]*"', labels or "")))
            found[f"{name}{{{said}}}" if said else name] = float(number)
    return found


def watch(port: int, path: str) -> tuple[int, str]:
    """What whoever watches the server is told: status and text."""
    __tracebackhide__ = True
    with closing(HTTPConnection(HOME, port, timeout=SECONDS)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()


def test_the_server_tells_how_it_is(usual, watched, room, eve):
    assert comes_true(lambda: watch_answers(watched), SOON), (
        f"CHAT_WATCH_PORT is {watched}, and nothing answers there."
    )
    status, _ = watch(watched, "/health")
    assert status == 200, f"/health of a healthy server should be 200, not {status}."
    before = samples(watch(watched, "/metrics")[1])
    with Wire(usual, eve, room) as wire, polls_of(usual, room, CY, 1):
        knock(usual, "GET", Host="evil.example")
        wire.is_in()
        during = samples(watch(watched, "/metrics")[1])
        wire.text(usual.saying("counted"))
        wire.hears("counted", "it was said")
    after = samples(watch(watched, "/metrics")[1])
    for name in (
        *(f'chat_connections{{kind="{kind}"}}' for kind in ("open", "socket", "poll")),
        "chat_messages_total",
        'chat_refusals_total{reason="host"}',
        *("chat_loop_lag_seconds_count", "chat_loop_lag_seconds_sum"),
        *("chat_commit_seconds_count", "chat_commit_seconds_sum"),
    ):
        assert name in after, (
            f"/metrics should tell {name}. It tells "
            f"{sorted(one for one in after if one.startswith('chat_'))}."
        )

    def grows(name: str, old: dict, new: dict, because: str) -> None:
        assert new.get(name, 0) == old.get(name, 0) + 1, (
            f"{because}, so {name} should be one more than {old.get(name, 0):g}. It "
            f"is {new.get(name, 0):g}."
        )

    grows("chat_messages_total", before, after, "One message was said")
    grows('chat_connections{kind="socket"}', before, during, "One socket is open")
    grows('chat_connections{kind="poll"}', before, during, "One poll waits")
    reason = 'chat_refusals_total{reason="host"}'
    grows(reason, before, after, "One request was for another host")
    assert usual.twisted.listens_on() == {HOME}, (
        "What whoever watches is told, is nobody else's business: the port should be "
        f"open on {HOME} only, not on {usual.twisted.listens_on()}."
    )
    for path in ("/health", "/metrics"):
        with Line(usual) as line:
            status = line.ask("GET", path, **bearer(usual.token(room))).status
        assert status == 404, (
            f"{path} on the clients' port should be 404, not {status}."
        )


def watch_answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOME, port)) == 0


# --- The graceful stop ----------------------------------------------------------------


def told_to_stop(chat) -> None:
    """Tell a server to end, as systemd does."""
    chat.note("The server is sent SIGTERM")
    chat.twisted.process.send_signal(signal.SIGTERM)


def has_ended(chat, seconds: float = STOP_SECONDS) -> None:
    """Wait until a server has ended. Raises AssertionError if it does not in time."""
    __tracebackhide__ = True
    ended = comes_true(lambda: chat.twisted.process.poll() is not None, seconds)
    assert ended, (
        f"After SIGTERM the server should end within {STOP_SECONDS} seconds, whoever "
        "is connected. It still runs."
    )


def test_who_is_stopped_says_goodbye(chat, places, eve, honest):
    here, there = places
    with (
        chat.beside() as other,
        ExitStack() as stack,
        polls_of(other, there, honest, 1) as [poll],
        Line(other) as idle,
    ):
        token = other.token(here)
        status = idle.ask(**bearer(token)).status
        assert status == 200, f"It still runs, and answered {status}."
        rude = stack.enter_context(Wire(other, eve, here)).is_in()
        polite = [stack.enter_context(Client(other, ANN, here)) for _ in range(3)]
        knocks = stack.enter_context(Wire(other, eve, here, said=False))
        settle(other)
        told_to_stop(other)
        because = "the server was sent SIGTERM, and will be back"
        for client in polite:
            client.is_closed_with(1012, because=because)
        rude.is_closed_with(1012, because=because)
        wait_until(
            poll.is_answered,
            lambda: (
                "a poll that waits should be answered at once when the server is sent "
                "SIGTERM"
            ),
        )
        answer = poll.answer()
        assert answer.status == 200 and answer.reply["data"] == [], (
            "A poll that waits should be answered at once, with nothing new, when the "
            f"server is sent SIGTERM. It was {answer.status} {answer.reply}."
        )
        code = knocks.closing("end who has shown no token yet")
        assert code in (1012, None), (
            "A socket that has shown no token yet should be closed with 1012, too, or "
            f"be dropped. The code was {code}."
        )
        idle.send(request(other, **bearer(token)))
        came = receive(idle)
        if came:  # or it was closed, which says as much
            head = came.partition(b"\r\n\r\n")[0].decode("latin-1").lower()
            assert " 503 " in head and "retry-after:" in head, (
                "A request by a connection that was open when the server was sent "
                f"SIGTERM should be answered 503 with Retry-After, not {head!r}."
            )
        # And `rude` never answers the close.
        other.clock.pass_by(GOODBYE + 1)
        rude.frames(Frame(Opcode.PONG, b"x"))  # so that somebody looks at the clock
        has_ended(other)
        with pytest.raises(OSError):
            Line(other)


def test_what_is_acknowledged_before_the_end_is_stored(chat, honest):
    [own] = chat.make_rooms("Where a server was stopped")
    told, names = [], [f"Poster{number}" for number in range(3)]
    chat.let_in(names, [own])
    with chat.beside(CHAT_MESSAGES="100000/1") as other:

        def go_on(user: str) -> None:
            try:
                with Line(other) as line:
                    for _ in range(300):
                        text = new_id()
                        if say(line, own, user, text).status != 200:
                            return
                        told.append(text)
            except AssertionError:  # The server has hung up.
                pass

        with ThreadPoolExecutor(len(names)) as pool:
            going = [pool.submit(go_on, name) for name in names]
            wait_until(lambda: len(told) > 30, lambda: "messages are being stored")
            told_to_stop(other)
            for one in going:
                one.result()
        has_ended(other)
    chat.moved(own, len(told))
    stored = all_of(chat, own)
    missing = {*told} - {*stored}
    assert not missing, (
        f"{len(told)} messages were acknowledged, while the server was sent SIGTERM. "
        f"All of them should be in the database when it has ended. {len(missing)} are "
        "not."
    )
    assert len(stored) == len({*stored}), "Each message should be stored once."


def all_of(chat, room: str) -> list[str]:
    """All that was ever said in a room, page by page."""
    found, before = [], 10**9
    while True:
        reply = json.loads(chat.get(f"{room}earlier/?before={before}").text)
        found = [message["text"] for message in reply["data"]] + found
        if not reply["more"]:
            return found
        before = reply["data"][0]["seq"]


# --- Logins ---------------------------------------------------------------------------

GUESSES = 3


@pytest.fixture(scope="module")
def door(chat, tmp_path_factory):
    """The folder of `chat`, where one address may be wrong GUESSES times.

    It is a copy: whoever counts that in the database would count it for all.
    """
    workspace = tmp_path_factory.mktemp("door")
    env = {"CHAT_LOGINS": f"{GUESSES}/300"}
    with Chat(chat.target, workspace, env=env) as door:
        chat.others += door.servers
        yield door


def logs_in(visitor: Visitor, name: str, password: str = PASSWORD):
    """Send the form for the login. Returns the answer."""
    form = login_form(visitor)
    return visitor.submit(form, username=name, password=password)


@pytest.fixture(scope="module")
def guessed(door):
    """Who has guessed too much, what the answers were, and who was in before."""
    for number in range(GUESSES + 1):
        ann = Visitor(door)
        answer = logs_in(ann, ANN)
        assert answer.status == 302, (
            f"CHAT_LOGINS is {GUESSES}/300: so many wrong ones. Somebody has logged in "
            f"with the right password {number} times, and should be let in again. The "
            f"answer was {answer.status}."
        )
    guesser = Visitor(door)
    return guesser, ann, [logs_in(guesser, ANN, "wrong") for _ in range(GUESSES)]


def is_told_to_wait(answer, what: str) -> None:
    """Compare what a guesser sees. Raises AssertionError with a sentence."""
    __tracebackhide__ = True
    what = f"CHAT_LOGINS is {GUESSES}/300, and there were as many before. {what}"
    assert answer.status == 429, f"{what} should be answered 429, not {answer.status}."
    told = answer.headers.get("Retry-After", "")
    assert re.fullmatch(r"[1-9]\d*", told) and int(told) <= 300, (
        f"{what} should say in Retry-After when to come again, in whole seconds, 300 "
        f"at most. That was {told!r}."
    )
    words = page_text(answer)
    assert re.search(r"\b(later|wait|again in|too (many|often|much))\b", words, re.I), (
        f"{what} should show the form, and say in a sentence that it was too much, and "
        f"to try again later. The page says {words[:300]!r}."
    )
    assert 'type="password"' in answer.text, f"{what} should show the form again."


def test_who_guesses_passwords_has_to_wait(door, guessed):
    guesser, _, answers = guessed
    for answer in answers:
        assert answer.status == 200, (
            f"A wrong password should show the form again (200): {answer.status}."
        )
    is_told_to_wait(logs_in(guesser, ANN, "wrong"), "A login as the same user")
    is_told_to_wait(logs_in(Visitor(door), BOB, "wrong"), "A login as another one")
    is_told_to_wait(logs_in(Visitor(door), ANN), "A login with the right password")


def test_however_a_name_is_spelled_it_is_one_name(door):
    another_address()  # skips where there is none
    name = fresh_name("guest")
    signs_up(Visitor(at(door, "127.7.3.1")), name)
    # Letters of another width, and blanks: Django's form takes them for the same name.
    wide = "".join(chr(ord(letter) + 0xFEE0) for letter in name)
    spelled = [name, wide, f" {name} ", wide[:1] + name[1:], name[:1] + wide[1:]]
    for number, typed in enumerate(spelled[: GUESSES + 1]):
        answer = logs_in(Visitor(at(door, f"127.7.4.{number + 1}")), typed, "wrong")
        if number < GUESSES:
            assert answer.status == 200, f"a wrong password: {answer.status}"
    is_told_to_wait(answer, "A login by the same name in another spelling")


def test_who_signs_up_again_and_again_has_to_wait(door, guessed):
    # Whether wrong logins and sign-ups have one limit or two, is yours.
    for _ in range(GUESSES + 1):
        answer = signs_up(Visitor(door), fresh_name("guest"))
        if answer.status == 429:
            break
    is_told_to_wait(answer, "One more account from the same address")


def test_who_guesses_the_old_password_has_to_wait(door, guessed):
    _, ann, _ = guessed
    names = ("old_password", "new_password1", "new_password2")
    new = "quite another one"
    for number in range(GUESSES + 1):
        form = ann.find_form("/chats/", *names)
        answer = ann.submit(form, **dict.fromkeys(names, new))
        if number < GUESSES:
            assert answer.status == 200, (
                "A wrong old password should show the form again (200). It was "
                f"{answer.status}."
            )
    is_told_to_wait(answer, "One more wrong old password")


def test_who_is_logged_in_has_guessed_nothing(door, guessed):
    _, ann, _ = guessed
    assert ann.get("/chats/").status == 200, (
        "Somebody guesses passwords from an address, and somebody else there is logged "
        "in already. The pages should be theirs as before."
    )


def at(door, address: str):
    """The same server, as it is asked from this address."""
    _ = door.django  # It starts now, or the copy would start one of its own.
    door = copy.copy(door)
    door.address = address
    return door


def test_who_logs_in_between_has_guessed_all_the_same(door):
    another_address()  # skips where there is none
    name, there = fresh_name("guest"), at(door, "127.7.6.1")
    signs_up(Visitor(at(door, "127.7.6.2")), name)
    for _ in range(GUESSES - 1):
        answer = logs_in(Visitor(there), fresh_name("guest"), "wrong")
        assert answer.status == 200, f"a wrong password: {answer.status}"
        answer = logs_in(Visitor(there), name)
        assert answer.status == 302, f"the right password: {answer.status}"
    logs_in(Visitor(there), fresh_name("guest"), "wrong")
    answer = logs_in(Visitor(there), fresh_name("guest"), "wrong")
    is_told_to_wait(answer, "Who has logged in between two guesses, and guesses again,")


def leaves(visitor: Visitor) -> Visitor:
    """Log out. What else the browser keeps, it keeps."""
    answer = visitor.submit(visitor.form("/chats/", button=LOG_OUT), LOG_OUT)
    assert answer.status in (200, 302), f"to log out was answered {answer.status}"
    return visitor


def test_to_be_right_costs_nothing_however_often(door):
    another_address()  # skips where there is none
    visitor, name = Visitor(at(door, "127.7.6.3")), fresh_name("guest")
    signs_up(visitor, name)
    for number in range(2 * GUESSES):
        answer = logs_in(leaves(visitor), name)
        assert answer.status == 302, (
            f"CHAT_LOGINS is {GUESSES}/300. In one browser somebody logs in and out "
            f"again, with the right password each time. Time {number + 1} was answered "
            f"{answer.status}."
        )


def test_another_address_may_log_in(door, guessed):
    address = another_address()
    answer = logs_in(Visitor(at(door, address)), BOB)
    assert answer.status == 302, (
        f"{HOME} has guessed too much, and {address} has not. From there somebody "
        f"logs in as {BOB}, and should be let in. The answer was {answer.status}."
    )


@pytest.mark.slow
def test_who_guesses_a_name_does_not_lock_its_owner_out(door):
    another_address()  # skips where there is none
    owner, eve = Visitor(at(door, "127.7.1.1")), Visitor(at(door, "127.7.1.2"))
    names = {who: fresh_name("guest") for who in (owner, eve)}
    for visitor, name in names.items():
        signs_up(visitor, name)
        answer = logs_in(leaves(visitor), name)
        assert answer.status == 302, f"the right password: {answer.status}"
        leaves(visitor)
    # Her browser is known for her own name, and for no other.
    for number in range(2 * GUESSES):
        eve.chat = at(door, f"127.7.2.{number + 1}")
        answer = logs_in(eve, names[owner], "wrong")
        if number < GUESSES:
            assert answer.status == 200, f"a wrong password: {answer.status}"
    is_told_to_wait(answer, "A login as the same user from yet another address")
    answer = logs_in(owner, names[owner])
    assert answer.status == 302, (
        f"CHAT_LOGINS is {GUESSES}/300, and somebody has guessed the password of "
        "a user from many addresses. She logs in with a browser in which she has been "
        f"logged in before, and should be let in. The answer was {answer.status}."
    )
