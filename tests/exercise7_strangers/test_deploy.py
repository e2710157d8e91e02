"""The chat on a server, as deploy/ says: nginx, gunicorn, twistd and PostgreSQL.

From exercise 8 on there are several chat servers, and an engine.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
import yaml
from django.core.signing import Signer
from playwright.sync_api import expect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from benchmarks.hostile import doors
from tests.support.accounts import Visitor
from tests.support.deployed import (
    NAME,
    TEMPLATE,
    Deployed,
    read_env,
    server_unit,
    unit_value,
    why_not_deployed,
    windows_of,
)
from tests.support.forms import sending
from tests.support.html import forms_in
from tests.support.servers import MANY, PASSWORD, Target, wait_until
from tutorial.stages import Stage, find_stage

KEY = "a key for a test, which nobody else has ever read: 1"
GOOD = {
    "DJANGO_SECRET_KEY": KEY,
    "CHAT_KEY": KEY[::-1],
    "CHAT_HOSTS": NAME,
    "CHAT_PROXIES": "127.0.0.1",
    "DATABASE_URL": "sqlite://:memory:",
    "DJANGO_SETTINGS_MODULE": "django_twisted_chat.production",
    "PYTHONDONTWRITEBYTECODE": "1",
}
FOREIGN = [
    "https://evil.example",
    "null",
    f"https://{NAME}.evil.example",
    f"https://evil-{NAME}",
    f"https://{NAME}:8443",
    f"http://{NAME}",
]


@pytest.fixture(scope="module", params=["7_strangers", "8_many_servers"])
def stage(request) -> Stage:
    """Each snapshot that can be put on a server."""
    return find_stage(request.param)


@pytest.fixture(scope="module")
def deploy(stage) -> Path:
    """Its files for that."""
    return stage.folder / "deploy"


@pytest.fixture(scope="module")
def server(stage, tmp_path_factory):
    """The chat on a server. Skipped where a program is missing, but never by CI."""
    if why := why_not_deployed(stage):
        if os.environ.get("REQUIRE_NGINX"):
            pytest.fail(why)
        pytest.skip(why)
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    workspace = tmp_path_factory.mktemp("deployed")
    with Deployed(Target(stage, stage.folder), workspace) as server:
        yield server


# --- Settings ----------------------------------------------------------------


@pytest.fixture
def django(stage):
    """A function that runs manage.py with the settings for a server."""

    def run(*words: str, **env: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=stage.folder,
            env={"PATH": os.environ["PATH"], **GOOD, **env},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


def test_djangos_own_check_has_nothing_to_say(django):
    done = django("check", "--deploy", "--fail-level", "INFO")
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout and "WARNING" not in done.stderr


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("DJANGO_SECRET_KEY", "", "missing"),
        ("CHAT_KEY", "", "missing"),
        ("CHAT_HOSTS", "", "missing"),
        ("DATABASE_URL", "", "missing"),
        ("DJANGO_SECRET_KEY", "django-insecure-for-the-tutorial-only", "public"),
        ("DJANGO_SECRET_KEY_BEFORE", "django-insecure-for-the-tutorial-only", "public"),
        ("CHAT_KEY", "insecure-for-the-tutorial-only", "public"),
        ("CHAT_KEY_BEFORE", "insecure-for-the-tutorial-only", "public"),
        ("CHAT_KEY", "secret", "shorter"),
    ],
)
def test_it_does_not_start_without_secrets_and_says_which(django, name, value, why):
    done = django("check", **{name: value})
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "ImproperlyConfigured" in last
    assert re.search(rf"\b{name} is {why}", last), last
    others = set(GOOD) - {name}
    assert not [other for other in others if re.search(rf"\b{other}\b", last)], last
    assert not value or value not in last, f"It tells the key: {last}"


def test_all_that_is_missing_is_said_at_once(django):
    last = django("check", CHAT_KEY="", CHAT_HOSTS="").stderr.splitlines()[-1]
    assert "CHAT_KEY is missing" in last and "CHAT_HOSTS is missing" in last


def test_the_keys_of_settings_py_are_those_that_are_refused(stage, django):
    # Should somebody change one of them, it would be accepted.
    settings = (stage.folder / "django_twisted_chat/settings.py").read_text("utf-8")
    tokens = (stage.folder / "chat/tokens.py").read_text("utf-8")
    public = re.findall(r'"([\w-]*for-the-tutorial-only)"', settings + tokens)
    assert len(public) == 2
    for key in public:
        assert "is public" in django("check", CHAT_KEY=key).stderr


# --- Files -------------------------------------------------------------------


def test_the_example_of_variables_has_all_but_the_secrets(deploy, django):
    env = read_env(deploy / "env.example")
    empty = {name for name, text in env.items() if not text}
    keys = {"DJANGO_SECRET_KEY", "CHAT_KEY"}
    assert empty == keys | {f"{key}_BEFORE" for key in keys}
    last = django("check", **env).stderr.splitlines()[-1]
    assert re.findall(r"(\w+) is missing", last) == ["DJANGO_SECRET_KEY", "CHAT_KEY"]


def analyze(deploy: Path, tmp_path: Path, *words: str) -> str:
    """What systemd-analyze says of the units, if it is found here."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd-analyze found, so no unit was looked at")
    units = tmp_path / "units"
    shutil.copytree(deploy, units)
    # What a unit starts has to be there.
    for unit in units.glob("*.service"):
        text = unit.read_text("utf-8").replace("/srv/chat/.venv/bin", str(tmp_path))
        unit.write_text(text, "utf-8")
    for name in ("gunicorn", "twistd", "python"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        [program, *words],
        cwd=units,
        env=os.environ | {"SYSTEMD_UNIT_PATH": f"{units}:"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze is too old")
    if "/run/systemd" in done.stderr and "Permission denied" in done.stderr:
        pytest.skip("this systemd-analyze wants a system with systemd, or root")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def started(unit: Path) -> str:
    """What systemctl starts of this unit."""
    return unit.name.replace("@.", "@1025.")


def test_systemd_understands_every_line_of_the_units(deploy, tmp_path):
    kinds = ("service", "socket", "timer")
    units = [unit for kind in kinds for unit in deploy.glob(f"*.{kind}")]
    said = analyze(
        deploy, tmp_path, "verify", *(f"./{started(unit)}" for unit in units)
    )
    assert "chat-" not in said, said


@pytest.mark.parametrize("unit", ["django", "server", "nightly"])
def test_a_service_that_is_taken_over_can_reach_little(deploy, tmp_path, unit):
    words = ("security", "--offline=true", "--no-pager", "--threshold=20")
    name = f"chat-{unit}.service"
    if unit == "server":
        name = started(server_unit(deploy))
    said = analyze(deploy, tmp_path, *words, f"./{name}")
    assert re.search(r"Overall exposure level .*: [01]\.\d", said), said[-300:]


def test_a_service_has_time_to_stop_and_limits(deploy):
    unit = server_unit(deploy)
    seconds = unit_value(unit, "TimeoutStopSec")
    assert int(seconds[0]) > 10  # CHAT_STOP_SECONDS
    [files] = unit_value(unit, "LimitNOFILE")
    assert int(files) > 12_000  # CHAT_MOST
    for one in (unit, deploy / "chat-django.service"):
        assert unit_value(one, "MemoryMax")
        assert unit_value(one, "Restart") == ["always"]


def test_the_image_is_made_of_files_that_are_there_and_without_a_secret(stage, deploy):
    lines = (deploy / "Containerfile").read_text("utf-8").splitlines()
    steps = [line.split() for line in lines if line and not line.startswith("#")]
    known = {"FROM", "RUN", "WORKDIR", "COPY", "USER"}
    assert {step[0] for step in steps} <= known and steps[0][0] == "FROM"
    copied = {file for step in steps if step[0] == "COPY" for file in step[1:-1]}
    for file in copied:
        assert (stage.folder / file).exists(), f"there is no {file}"
    # No folder as a whole: a database or the keys may lie there.
    assert not copied & {".", "./", "deploy", "deploy/"}
    ours = {path.name for path in stage.folder.iterdir() if path.suffix == ".py"}
    ours |= {path.parent.name for path in stage.folder.glob("*/__init__.py")}
    ours.discard("lab")  # It is for who reads.
    assert ours <= copied, f"not in the image: {ours - copied}"
    assert steps[-1] == ["USER", "chat"]


def test_the_containers_start_what_the_units_start(deploy):
    compose = yaml.safe_load((deploy / "compose.yaml").read_text("utf-8"))
    services, server = compose["services"], server_unit(deploy)
    chats = [name for name in services if name.startswith("chat")]
    assert len(chats) == (3 if server.name == TEMPLATE else 1)
    units = {"django": deploy / "chat-django.service"} | dict.fromkeys(chats, server)
    for service, unit in units.items():
        [start] = unit_value(unit, "ExecStart")
        words = shlex.split(start.replace("/srv/chat/.venv/bin/", ""))
        given = shlex.split(services[service]["command"])
        if service == "django":
            [where] = unit_value(deploy / "chat-django.socket", "ListenStream")
            words[1:1] = ["--bind", where]
        assert given == words
        [seconds] = unit_value(unit, "TimeoutStopSec")
        assert services[service]["stop_grace_period"] == f"{seconds}s"
        # nginx finds both on the loopback, and they believe it.
        assert services[service]["network_mode"] == "service:nginx"
    mounted = [volume.split(":") for volume in services["nginx"]["volumes"]]
    assert ["./nginx.conf", "/etc/nginx/conf.d/default.conf", "ro"] in mounted
    named = {place for place, *_ in mounted if not place.startswith((".", "/"))}
    assert named <= set(compose["volumes"])
    open_ports = [name for name, one in services.items() if "ports" in one]
    assert open_ports == ["nginx"]


# --- Pages -------------------------------------------------------------------


@pytest.fixture
def windows(server, chromium, chromium_path):
    """A function that opens a window of a user, by the name of the server."""
    with windows_of(server, chromium, chromium_path) as window:
        yield window


@pytest.mark.thorough
def test_two_windows_talk_by_tls_one_by_socket_and_one_by_polling(windows):
    ann, bob = windows("Ann"), windows("Bob")
    reached: set[str] = set()
    ann.listen("websocket", lambda socket: reached.add(socket.url))
    bob.listen("request", lambda request: reached.add(request.url.partition("?")[0]))
    ann.join()
    bob.join(rooms="/chats/long_poll/")
    for number, window in enumerate([ann, bob, ann]):
        window.say(f"number {number}")
        for other in (ann, bob):
            expect(other.log).to_contain_text(f"number {number}")
    assert f"wss://{NAME}/ws" in reached
    assert f"https://{NAME}/poll" in reached
    elsewhere = [url for url in reached if urlsplit(url).netloc != NAME]
    assert not elsewhere, f"The pages turned to {elsewhere}."


@pytest.mark.thorough
def test_what_is_said_while_the_chat_server_is_started_anew_is_heard_once(
    server, windows
):
    ann, bob = windows("Ann"), windows("Bob")
    ann.join(number=1)
    bob.join(rooms="/chats/long_poll/", number=1)
    took = server.end_chat()
    assert took < 10, f"The chat server took {took:.1f} s to stop."
    ann.say("Is anybody there?")
    bob.say("Not yet.")
    server.start_chat()
    for window in (ann, bob):
        for text in ("Is anybody there?", "Not yet."):
            expect(window.log.get_by_text(text, exact=True)).to_have_count(
                1, timeout=40_000
            )
        window.forgive("502")  # Chromium says so itself.


def made_with(key: str, user: int) -> str:
    """A token for the first demo room, as Django makes it with this key."""
    said = {"room": 1, "user": user, "name": "Cy", "expires": time.time() + 60}
    return Signer(key=key, salt="chat.names", fallback_keys=[]).sign_object(said)


@pytest.mark.thorough
def test_keys_are_renewed_and_nobody_is_logged_out_or_refused(server, windows):
    ann, bob = windows("Ann"), windows("Bob")
    ann.join()
    bob.join(rooms="/chats/long_poll/")
    cookies, old = server.cookies("Cy"), dict(server.env)
    invitation = invite(server, "Ann")
    try:
        for name in ("DJANGO_SECRET_KEY", "CHAT_KEY"):
            server.env[f"{name}_BEFORE"] = old[name]
            server.env[name] = KEY + name
        # First who looks at tokens, then who makes them.
        server.restart_chat()
        for number, window in enumerate([ann, bob]):
            expect(window.status).to_contain_text("Connected", timeout=40_000)
            window.say(f"with the token of before {number}")
            expect(window.log).to_contain_text(f"before {number}", timeout=40_000)
        server.restart_django()
        for number, window in enumerate([ann, bob]):
            window.page.reload()
            window.is_connected()
            window.say(f"with another token {number}")
            expect(window.log).to_contain_text(f"another token {number}")
            window.forgive("502")  # Chromium says so itself.
        assert server.visit("GET", "/chats/", cookies).status == 200
        assert server.visit("GET", invitation, cookies).status == 200
        refused = server.metrics().get('chat_refusals_total{reason="token"}', 0)
        assert refused == 0, f"{refused:g} tokens were refused."
        # While it lasts, the key of before makes good tokens, and then none.
        token = made_with(old["CHAT_KEY"], server.users["Cy"])
        assert server.post("with the old key", token).status == 200
        server.env |= dict.fromkeys(("DJANGO_SECRET_KEY_BEFORE", "CHAT_KEY_BEFORE"), "")
        server.restart_chat()
        assert server.post("with the old key", token).status == 401
    finally:
        server.env.clear()
        server.env.update(old)
        server.forget_logins()
        server.restart_chat()
        server.restart_django()


# --- Who is let in -----------------------------------------------------------


def raw(server, request: str, name: str | None = NAME, tls: bool = True) -> str:
    """The head that comes back for these lines, if one does, and perhaps more.

    `name` is what the TLS handshake asks for.
    """
    port = server.https_port if tls else server.http_port
    plain = socket.create_connection(("127.0.0.1", port), timeout=15)
    if tls:
        context = ssl.create_default_context(cafile=server.certificate)
        context.check_hostname = False
        plain = context.wrap_socket(plain, server_hostname=name)
    with plain:
        plain.sendall(request.replace("\n", "\r\n").encode() + b"\r\n\r\n")
        said = b""
        with suppress(ConnectionResetError):
            while b"\r\n\r\n" not in said and (data := plain.recv(65536)):
                said += data
    return said.decode("utf-8", "replace")


@pytest.mark.thorough
@pytest.mark.parametrize("path", ["/chats/", "/ws", "/poll?wait=0", "/static/room.js"])
@pytest.mark.parametrize(
    "host", ["evil.example", f"{NAME}.evil.example", f"evil-{NAME}", "127.0.0.1", ""]
)
def test_a_foreign_host_is_answered_nothing(server, path, host):
    for tls in (True, False):
        head = f"GET {path} HTTP/1.1\nHost: {host}\nConnection: close"
        said = raw(server, head, tls=tls)
        assert said == "" or said.startswith("HTTP/1.1 400 "), said[:300]


@pytest.mark.thorough
def test_a_request_with_two_hosts_or_for_two_servers_is_refused(server):
    twice = f"GET /chats/ HTTP/1.1\nHost: {NAME}\nHost: evil.example\nConnection: close"
    assert raw(server, twice).startswith("HTTP/1.1 400 ")
    # The address counts, and what is passed on is that, and not the header.
    both = "GET {} HTTP/1.1\nHost: {}\nConnection: close"
    elsewhere = both.format("https://evil.example/chats/", NAME)
    assert raw(server, elsewhere) == ""
    here = both.format(f"https://{NAME}/accounts/login/", "evil.example")
    assert "evil.example" not in raw(server, here)


@pytest.mark.thorough
def test_whoever_knocks_in_a_wrong_way_is_refused_at_both_doors(server):
    found = doors.try_all(
        server.origin,
        server.origin,
        server.token(),
        poll_path="/poll",
        at=server.https_port,
    )
    assert found["gets_in"], found["right"]
    assert (found["refused"], found["of"]) == (20, 20), found["let_in"]


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["evil.example", None])
def test_by_another_name_there_is_no_certificate(server, name):
    with pytest.raises(ssl.SSLError):
        raw(server, f"GET / HTTP/1.1\nHost: {NAME}\nConnection: close", name)


@pytest.mark.thorough
def test_without_tls_one_is_led_to_it(server):
    head = f"GET /chats/?a=1 HTTP/1.1\nHost: {NAME}\nConnection: close"
    said = raw(server, head, tls=False)
    assert said.startswith("HTTP/1.1 301 ")
    assert f"Location: https://{NAME}/chats/?a=1\r\n" in said


@pytest.mark.thorough
@pytest.mark.parametrize("origin", FOREIGN)
def test_a_page_of_another_site_is_refused_by_both_transports(server, origin):
    with pytest.raises(InvalidStatus) as refused, server.open_socket(origin):
        pass
    assert refused.value.response.status_code == 403
    token = server.token()
    headers = {"Origin": origin, "Authorization": f"Bearer {token}"}
    for method in ("GET", "POST", "OPTIONS"):
        assert server.ask(method, "/poll?wait=0", headers=headers).status == 403


@pytest.mark.thorough
def test_two_origins_are_refused(server):
    lines = f"Host: {NAME}\nOrigin: {server.origin}\nOrigin: https://evil.example"
    poll = f"GET /poll?wait=0 HTTP/1.1\n{lines}\nConnection: close"
    upgrade = "Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13"
    upgrade += "\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
    for head in (poll, f"GET /ws HTTP/1.1\n{lines}\n{upgrade}"):
        assert re.match("HTTP/1.1 (403|400) ", raw(server, head))


@pytest.mark.thorough
def test_our_own_page_is_let_in_by_both(server):
    token, hears = server.token(), []
    with server.open_socket() as client:
        client.send(server.hello(token))
        client.recv(10)
        said = server.post("through the door", token)
        assert said.status == 200
        while not hears:
            hears = server.texts_in(client.recv(10))
    assert hears == ["through the door"]


@pytest.mark.thorough
def test_who_gives_another_address_is_not_believed(server):
    """And who guesses passwords from one address is stopped there."""
    statuses = []
    for number in range(60):  # Some come back meanwhile.
        form = {"username": f"Nobody{number}", "password": "a guess"}
        headers = {"X-Real-IP": f"10.0.0.{number}"}
        headers["X-Forwarded-For"] = headers["X-Real-IP"]
        cookies: dict[str, str] = {}
        page = server.visit("GET", "/accounts/login/", cookies)
        [form_there] = forms_in(page.text)
        target, fields = sending(form_there, "/accounts/login/")
        response = server.visit("POST", target, cookies, fields | form, **headers)
        statuses.append(response.status)
        if response.status == 429:
            break
    server.sql("chat", "--command", "DELETE FROM chat_tries")
    assert set(statuses[:20]) == {200} and statuses[-1] == 429, statuses
    assert int(response.headers["Retry-After"]) >= 1
    # Tokens of nobody are counted by the same address.
    server.env["CHAT_KNOCKS"] = "20/300"
    try:
        server.restart_chat()
        for number in range(40 * len(server.chats)):  # Each server counts for itself.
            headers = {"Authorization": "Bearer x", "X-Real-IP": f"10.0.1.{number}"}
            answer = server.ask("GET", "/poll?wait=0", headers=headers)
            if answer.status == 429:
                break
    finally:
        del server.env["CHAT_KNOCKS"]
        server.restart_chat()
    assert answer.status == 429, "So many bad tokens from one address are too many."
    assert number >= 20


# --- What nginx does ---------------------------------------------------------


@pytest.mark.thorough
def test_pages_and_files_have_their_headers(server):
    login = server.ask("GET", "/accounts/login/")
    assert "max-age=" in login.headers["Strict-Transport-Security"]
    assert login.headers["X-Content-Type-Options"] == "nosniff"
    assert login.headers["Referrer-Policy"] == "strict-origin"
    assert login.headers["X-Frame-Options"] == "DENY"
    policy = login.headers["Content-Security-Policy"]
    assert f"connect-src 'self' wss://{NAME};" in policy, policy
    assert "script-src 'self';" in policy and "frame-ancestors 'none'" in policy
    assert "nginx/" not in login.headers["Server"]
    [cookie] = login.headers.get_all("Set-Cookie")
    assert cookie.startswith("csrftoken=") and "Secure" in cookie
    # room.js reads this one, and nothing reads the one of the login.
    asked: dict[str, str] = {}
    page = server.visit("GET", "/accounts/login/", asked)
    [form] = forms_in(page.text)
    target, fields = sending(form, "/accounts/login/")
    fields |= {"username": "Ann", "password": PASSWORD}
    cookies = server.visit("POST", target, asked, fields).headers.get_all("Set-Cookie")
    [session] = [one for one in cookies if one.startswith("sessionid=")]
    assert "Secure" in session and "HttpOnly" in session and "SameSite=Lax" in session

    script = server.ask("GET", "/static/room.js")
    assert script.status == 200
    assert script.headers["Content-Type"] == "application/javascript"
    assert script.headers["X-Content-Type-Options"] == "nosniff"
    assert script.headers["Cache-Control"] == "no-cache"
    assert "max-age=" in script.headers["Strict-Transport-Security"]
    known = {"If-None-Match": script.headers["ETag"]}
    assert server.ask("GET", "/static/room.js", headers=known).status == 304
    poll = server.ask("GET", "/poll")
    assert poll.status == 401
    assert poll.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.thorough
@pytest.mark.parametrize(
    "path",
    [
        "/static/../manage.py",
        "/static/%2e%2e/manage.py",
        "/static../manage.py",
        "/static/",
        "/manage.py",
        "/deploy/env.example",
        "/metrics",
        "/health",
        "/poll/metrics",
    ],
)
def test_nothing_else_of_the_machine_can_be_had(server, path):
    head = f"GET {path} HTTP/1.1\nHost: {NAME}\nConnection: close"
    assert re.match("HTTP/1.1 (400|403|404) ", raw(server, head))


@pytest.mark.thorough
def test_what_is_too_large_is_refused_before_it_is_sent(server):
    token = server.token()
    lines = f"Host: {NAME}\nAuthorization: Bearer {token}\nContent-Length: 300000000"
    for path in ("/poll", "/accounts/login/"):
        said = raw(server, f"POST {path} HTTP/1.1\n{lines}")
        assert said.startswith("HTTP/1.1 413 "), said[:200]
    said = raw(server, f"GET /poll HTTP/1.1\nHost: {NAME}\nX: {'x' * 20_000}")
    assert re.match("HTTP/1.1 (400|431) ", said), said[:200]


@pytest.mark.thorough
def test_who_sends_a_head_or_a_body_slowly_is_off_in_time(server):
    for head in (
        f"POST /poll HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 9\r\n\r\nnew",
        f"GET /poll HTTP/1.1\r\nHost: {NAME}\r\nX-Slow",
    ):
        plain = socket.create_connection(("127.0.0.1", server.https_port))
        with server.trusting.wrap_socket(plain, server_hostname=NAME) as slow:
            began = time.monotonic()
            slow.settimeout(30)
            slow.sendall(head.encode())
            with suppress(ConnectionResetError):
                while slow.recv(65536):
                    pass
            assert time.monotonic() - began < 15


@pytest.mark.thorough
def test_an_answer_to_a_poll_is_passed_on_as_it_comes(server):
    """Half of it, for what is on the port of the chat server says no more."""
    server.end_chat()
    try:
        plain = socket.create_connection(("127.0.0.1", server.https_port), timeout=10)
        client = server.trusting.wrap_socket(plain, server_hostname=NAME)
        half = socket.create_server(("127.0.0.1", server.chat_port))
        with half, client:
            half.settimeout(10)
            client.sendall(f"GET /poll HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
            upstream, _ = half.accept()
            with upstream:
                assert upstream.recv(4096).startswith(b"GET / HTTP/1.1\r\n")
                head = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n"
                upstream.sendall(head + b"first half")
                said = b""
                while b"first half" not in said:
                    said += client.recv(4096)
    finally:
        server.start_chat()


# --- What goes on ------------------------------------------------------------


@pytest.mark.thorough
def test_who_asks_while_django_is_started_anew_waits_and_is_answered(server):
    done, statuses = threading.Event(), []

    def ask():
        while not done.is_set():
            try:
                statuses.append(server.ask("GET", "/accounts/login/").status)
            except OSError as error:
                statuses.append(error)

    asking = [threading.Thread(target=ask) for _ in range(3)]
    for thread in asking:
        thread.start()
    wait_until(lambda: len(statuses) > 5, lambda: f"answers: {statuses}", 20)
    server.restart_django()
    since = len(statuses)
    wait_until(lambda: len(statuses) > since + 5, server.django.tail, 20)
    done.set()
    for thread in asking:
        thread.join()
    assert set(statuses) == {200}, f"{len(statuses)} answers: {set(statuses)}"


@pytest.mark.thorough
def test_sockets_are_told_that_the_server_goes_down(server):
    with server.open_socket() as client:
        client.send(server.hello(server.token()))
        client.recv(10)
        took = server.restart_chat()
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                client.recv(10)
    assert closed.value.rcvd.code == 1012
    assert took < 10


def rows(server, database: str, table: str, columns: str) -> str:
    query = f"SELECT {columns} FROM {table} ORDER BY 1, 2"
    return server.sql(database, "--command", query)


@pytest.mark.thorough
def test_a_backup_brings_back_all_that_was_said(server):
    texts = [
        "a line\nand another",
        "שלום, 你好 👩‍🚀",
        "'); DROP TABLE chat_message; --",
    ]
    for text in texts:
        answer = server.post(text, server.token())
        assert answer.status == 200
    server.moved(server.rooms()[0], json.loads(answer.text)["seq"])
    backups = server.workspace / "backups"
    backups.mkdir()
    old, younger = backups / "old.dump", backups / "younger.dump"
    for file, days in [(old, 16), (younger, 12)]:
        file.touch()
        os.utime(file, (time.time() - days * 24 * 60 * 60,) * 2)
    server.run(*server.command("chat-nightly.service", 0))
    server.run(*server.command("chat-nightly.service", 1))
    assert not old.exists() and younger.exists()
    [dump] = [file for file in backups.iterdir() if file != younger]
    assert dump.suffix == ".dump" and dump.stat().st_mode & 0o077 == 0

    make = "CREATE DATABASE again OWNER chat"
    server.sql("postgres", "--command", make)
    again = server.database_url("again")
    restore = str(server.deploy / "restore.sh")
    server.run("/bin/sh", restore, str(dump), DATABASE_URL=again)
    for table, columns in {
        "chat_message": "room_id, seq, client_id, text, author_id, said_at",
        "chat_chatroom": "id, name, last_seq, owner_id, is_private, invite",
        "chat_visit": "user_id, room_id, seq",
        "auth_user": "id, username, password",
        "django_migrations": "app, name",
    }.items():
        before = rows(server, "chat", table, columns)
        assert rows(server, "again", table, columns) == before, table
    assert all(
        text in rows(server, "again", "chat_message", "text, seq") for text in texts
    )
    # Who knows more than the backup is told so; logins that were ended stay so.
    epochs = [
        set(rows(server, database, "chat_chatroom", "epoch, id").split())
        for database in ("chat", "again")
    ]
    assert not epochs[0] & epochs[1]
    assert all(re.match(r"[0-9a-f]{8}\|", epoch) for epoch in epochs[1])
    assert server.sql("again", "--command", "SELECT * FROM django_session") == ""
    # In what is no empty database nothing is overwritten.
    with pytest.raises(AssertionError):
        server.run("/bin/sh", restore, str(dump), DATABASE_URL=again)
    assert rows(server, "again", "chat_message", "seq, text") == rows(
        server, "chat", "chat_message", "seq, text"
    )


# --- Logs --------------------------------------------------------------------


def invite(server, user: str) -> str:
    """Make a room by invitation; returns the path of the link that invites."""
    owner = Visitor(server, user)
    form = owner.find_form("/chats/", "name", "is_private")
    made = owner.submit(form, name="Den", is_private="True")
    link = owner.read(made.headers["Location"]).find(id="link")["value"]
    return urlsplit(link).path


FAIL = """
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'the disk is full'; END $$;
CREATE TRIGGER fail BEFORE INSERT ON chat_message EXECUTE FUNCTION fail();
"""


@pytest.mark.thorough
def test_no_secret_stands_in_any_log(server):
    link = invite(server, "Ann")
    signed = link.rstrip("/").rpartition("/")[2]
    token, guess, typed = server.token(), "a-guessed-password", "typed-for-a-name"
    text = "the-words-that-somebody-said"
    secrets = [signed, quote(signed), token, guess, typed, text, PASSWORD]
    secrets += [server.env["CHAT_KEY"], server.env["DJANGO_SECRET_KEY"]]
    secrets += [server.cookies("Bob")["sessionid"]]

    # Invitations: of somebody, of nobody, broken, too large, without TLS, refused.
    bob, nobody = Visitor(server, "Bob"), Visitor(server)
    assert bob.get(link).status == 200
    led = nobody.get(link).headers["Location"]
    assert quote(signed) in led
    assert nobody.get(led).status == 200
    assert bob.get(link[:-2] + "/").status == 404
    secrets.append(signed[:-1])
    assert bob.post(link).status == 403  # It has no token against forgery.
    server.ask("POST", link, "x" * 70_000)
    for tls in (True, False):
        head = f"GET {link} HTTP/1.1\nHost: {NAME}\nConnection: close"
        raw(server, f"{head}\nReferer: https://{NAME}{link}", tls=tls)
    raw(server, f"GET {led} HTTP/1.1\nHost: {NAME}\nConnection: close")

    # Logins, and names that are passwords.
    page = server.visit("GET", "/accounts/login/", cookies := {})
    [form] = forms_in(page.text)
    target, fields = sending(form, "/accounts/login/")
    for name, password in [("Bob", guess), (typed, "x")]:
        fields |= {"username": name, "password": password}
        assert server.visit("POST", target, cookies, fields).status == 200

    # Messages: stored, refused, too large, and those that the database does not take.
    with server.open_socket() as client:
        client.send(server.hello(token))
        client.recv(10)
        client.send(server.saying(text))
        client.recv(10)
        client.send("{" + text)
        with suppress(ConnectionClosed):
            while True:
                client.recv(10)
    assert server.post(text * 200, token).status == 413
    assert server.post(text, token[:-1] + "x").status == 401
    server.sql("chat", "--command", FAIL, user="chat")
    try:
        # Where there is an engine, it is moved to the database a moment later.
        late = server.target.stage.number >= MANY
        assert server.post(text, token).status == (200 if late else 503)
        failed = lambda: "the disk is full" in server.written()["log"]  # noqa: E731
        wait_until(failed, lambda: "the database was asked to store it")
    finally:
        server.sql("chat", "--command", "DROP FUNCTION fail CASCADE", user="chat")
    assert server.post(text, token).status == 200
    server.end_chat()
    assert server.post(text, token).status == 502
    server.start_chat()

    # Lines that somebody wants to forge, and colours.
    forged = "%0d%0a2026-11-29%20FORGED%1b[31m"
    bob.get(f"/chats/{forged}/")
    server.ask("GET", f"/poll?{forged}")
    bob.get(f"/static/{forged}")

    logs = server.written()
    assert "/chats/invitation/.../" not in logs["chat.access.log"]
    assert '"GET /chats/invitation/..."' in logs["chat.access.log"]
    assert '"POST /poll" 502' in logs["chat.access.log"]
    assert "the disk is full" in logs["log"]
    for name, log in logs.items():
        found = [secret for secret in secrets if secret in log]
        found += [line for line in log.splitlines() if re.match(".{0,12}FORGED", line)]
        if "\x1b" in log:
            found.append("a control character")
        assert not found, f"In {name}: {found}"
        assert "Traceback" not in log, f"In {name}:\n{log[-3000:]}"


@pytest.mark.thorough
def test_what_happens_can_be_watched_on_the_machine_alone(server):
    before = server.metrics()
    assert server.post("counted", server.token()).status == 200
    counted = lambda: server.metrics()["chat_messages_total"]  # noqa: E731
    # Each server counts what it hears in the rooms where somebody is.
    wait_until(lambda: counted() > before["chat_messages_total"], lambda: "it counts")
    for chat in server.chats:
        assert chat.listens_on() == {"127.0.0.1"}
    assert json.loads(server.ask("GET", "/poll").text)["status"] == 0
