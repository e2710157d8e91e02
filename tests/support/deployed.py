"""The chat on a server, as its folder deploy/ says, on ports of this machine.

What runs is what stands there: nginx with the very file of the site, the commands of
the units, the variables of the example, PostgreSQL with its SQL, and from exercise 8 on
the engine with its file, and as many chat servers as nginx knows. Only ports, paths and
names are others.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

from django.core.signing import Signer
from websockets.sync.client import connect

from tests.browser.conftest import Window, look_at_consoles
from tests.support.chromium import FLAGS
from tests.support.engine import Engine
from tests.support.postgres import Postgres, find_postgres, why_no_postgres
from tests.support.servers import (
    ANSWER_SECONDS,
    MANAGE_SECONDS,
    PEOPLE,
    USERS,
    WITHOUT_LIMITS,
    Chat,
    Server,
    Target,
    cookie_header,
    wait_until,
)
from tutorial.processes import free_ports
from tutorial.run.engine import why_no_engine
from tutorial.settings import plain
from tutorial.stages import Stage

NAME = "chat.example"
TEMPLATE = "chat-server@.service"  # of the unit, where there are several chat servers
MIME = Path("/etc/nginx/mime.types")
# systemd hands over a socket as descriptor 3, and says to which process.
ACTIVATE = """
import os, sys
os.dup2(0, 3)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.argv[1], sys.argv[1:])
"""
MAIN = """
{user}
daemon off;
worker_processes 1;
pid {logs}/nginx.pid;
error_log {logs}/error.log;
events {{ worker_connections 4096; }}
http {{
    include {mime};
    default_type application/octet-stream;
    access_log {logs}/access.log;
    client_body_temp_path {logs}/body;
    proxy_temp_path {logs}/proxy;
    fastcgi_temp_path {logs}/fastcgi;
    uwsgi_temp_path {logs}/uwsgi;
    scgi_temp_path {logs}/scgi;
    include {site};
}}
"""


def find_nginx() -> str | None:
    """The path of nginx; None if there is none."""
    # Debian has it where only root's shell looks.
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def why_not_deployed(stage: Stage) -> str:
    """What is missing here to run a snapshot as on a server; empty if nothing is."""
    if find_nginx() is None or not MIME.exists():
        return "no nginx found, so nothing was tried as on a server: apt install nginx"
    if shutil.which("openssl") is None:
        return "no openssl found, which makes a certificate: apt install openssl"
    if stage.engine and (why := why_no_engine(stage.folder)):
        return why
    return why_no_postgres()


def unit_value(unit: Path, name: str) -> list[str]:
    """What a unit of systemd sets `name` to, each time it does, in order."""
    return re.findall(rf"^{name}=(.*)$", unit.read_text("utf-8"), re.M)


def server_unit(deploy: Path) -> Path:
    """The unit of the chat server, or of all of them."""
    several = deploy / TEMPLATE
    return several if several.exists() else deploy / "chat-server.service"


def read_env(file: Path) -> dict[str, str]:
    """The variables in a file for systemd's EnvironmentFile."""
    lines = file.read_text("utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if re.match(r"\w+=", line))


class Secure(http.client.HTTPSConnection):
    """A connection to `host`, which is on a port of this machine."""

    def __init__(self, host: str, at: int, context: ssl.SSLContext):
        super().__init__(host, timeout=ANSWER_SECONDS, context=context)
        self.at = at

    def connect(self):
        plain = socket.create_connection(("127.0.0.1", self.at), self.timeout)
        self.sock = self._context.wrap_socket(plain, server_hostname=self.host)


class Activated(Server):
    """A server that is handed the socket `listening`, as systemd does.

    The socket stays when the server ends, so whoever comes meanwhile waits.
    """

    def __init__(self, name, command, cwd, env, log, port: int):
        super().__init__(name, command, cwd, env, log)
        self.prefix = (sys.executable, "-c", ACTIVATE)
        self.listening = socket.create_server(("127.0.0.1", port), backlog=1000)

    def _launch(self, stdin=subprocess.DEVNULL) -> None:
        super()._launch(self.listening)


class Placed(Engine):
    """An engine that is started by a `file` of settings, and listens where that says.

    That is the socket `at`. What it keeps is in `folder`.
    """

    def __init__(self, folder: Path, file: Path, at: Path):
        super().__init__(folder)
        self.file, self.url = file, f"unix://{at}"

    def _launch(self, held) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                # As the unit of Debian does, and in a folder that is not ours.
                [self.binary.path, self.file, "--daemonize", "no"],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[held.fileno()],
                start_new_session=True,
                umask=0o007,
            )
        held.truncate(0)
        held.write(b"%d" % self.process.pid)
        held.flush()


class ChatServer(Server):
    """One of the chat servers: the environment is that of all, and what is its `own`.

    `watch_port` is where it is watched.
    """

    def __init__(self, command, cwd, env, log, ports: tuple[int, int], own):
        self.port, self.watch_port = ports
        super().__init__(f"Twisted (twistd) on {self.port}", command, cwd, env, log)
        self.of_all, self.own = env, own

    def _launch(self, stdin=subprocess.DEVNULL) -> None:
        # Of systemd's EnvironmentFile and Environment, the file has the last word.
        self.env = self.own | self.of_all
        super()._launch(stdin)

    def metrics(self) -> dict[str, float]:
        """What it counts, by name and labels."""
        url = f"http://127.0.0.1:{self.watch_port}/metrics"
        with urlopen(url, timeout=ANSWER_SECONDS) as answer:
            lines = answer.read().decode().splitlines()
        counted = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
        return {name: float(number) for name, number in counted}


class Deployed(Chat):
    """The chat as on a server, whose name is NAME, with certificate and database.

    `chats` are its chat servers, of which nginx asks any. Use it in a `with` block.
    What is changed in `env` holds from the next start on.
    """

    origin = f"https://{NAME}"

    def __init__(self, target: Target, workspace: Path):
        super().__init__(target, workspace, engine=False)
        self.deploy = self.folder / "deploy"
        self.logs = workspace / "logs"
        self.postgres = Postgres(find_postgres())
        self.https_port, self.http_port, *self.other_ports = free_ports(4)
        # By the port that a chat server has there: which one it has here, and which to
        # be watched.
        self.site = (self.deploy / "nginx.conf").read_text("utf-8")
        known = dict.fromkeys(re.findall(r"127\.0\.0\.1:(1\d+)", self.site))
        free = iter(free_ports(2 * len(known)))
        self.ports = {port: (next(free), next(free)) for port in known}
        # The limits are those of a server, and so are the names.
        ours = {*WITHOUT_LIMITS, "CHAT_ORIGINS", "CHAT_TOKEN_SECONDS", "CHAT_PORT"}
        self.env = {name: text for name, text in self.env.items() if name not in ours}
        example = read_env(self.deploy / "env.example")
        self.env |= {name: self.placed(text) for name, text in example.items()}
        self.env |= {
            "DJANGO_SECRET_KEY": secrets.token_urlsafe(50),
            "CHAT_KEY": secrets.token_urlsafe(50),
            # On a server it is found on the PATH.
            "PATH": f"{self.postgres.programs}:{os.environ['PATH']}",
        }
        self.manager.env = self.env
        self._django = Activated(
            "Django (gunicorn)",
            self.command("chat-django.service"),
            self.folder,
            self.env,
            workspace / "django.log",
            self.django_port,
        )
        self.chats = [self._chat(port) for port in self.ports]
        self.twisted, self.chat_port = self.chats[0], self.chats[0].port
        if target.stage.engine:
            self.engine = Placed(
                workspace / "engine", workspace / "valkey.conf", workspace / "engine.at"
            )
        self.nginx = Server(
            "nginx",
            [find_nginx(), "-e", f"{self.logs}/start.log", "-c", f"{workspace}/main"],
            workspace,
            plain(os.environ),
            workspace / "nginx.log",
        )
        self.servers = [self._django, *self.chats, self.nginx]

    def _chat(self, port: str) -> ChatServer:
        """The chat server that is on `port` there."""
        unit, (here, watched) = server_unit(self.deploy), self.ports[port]
        said = " ".join(unit_value(unit, "Environment")).replace("%i", port)
        own = dict(word.split("=", 1) for word in said.split())
        places = {port: here, own.get("CHAT_WATCH_PORT"): watched}
        if unit.name != TEMPLATE:
            assert not own
            self.env |= {"CHAT_PORT": f"{here}", "CHAT_WATCH_PORT": f"{watched}"}
        return ChatServer(
            self.command(unit.name),
            self.folder,
            self.env,
            self.workspace / f"twisted-{port}.log",
            (here, watched),
            {name: f"{places[text]}" for name, text in own.items()},
        )

    def add_chat(self, port: str) -> ChatServer:
        """Start one more chat server, of which nginx knows nothing yet."""
        self.ports[port] = tuple(free_ports(2))
        added = self._chat(port)
        self.chats.append(added)
        self.servers.append(added)
        added.start(added.port)
        return added

    def placed(self, text: str) -> str:
        """A text of deploy/ with the ports and paths of here."""
        for there, here in {
            "/srv/chat/.venv/bin": str(Path(sys.executable).parent),
            "/srv/chat": str(self.folder),
            f"/etc/letsencrypt/live/{NAME}": str(self.workspace / "certificate"),
            "/var/log/nginx": str(self.logs),
            "/var/lib/chat-backups": str(self.workspace / "backups"),
            "/var/www/html": str(self.workspace / "html"),
            "[::]:443": f"127.0.0.1:{self.other_ports[0]}",
            "[::]:80": f"127.0.0.1:{self.other_ports[1]}",
            "listen 443": f"listen 127.0.0.1:{self.https_port}",
            "listen 80": f"listen 127.0.0.1:{self.http_port}",
            "127.0.0.1:8000": f"127.0.0.1:{self.django_port}",
            **{
                f"127.0.0.1:{there}": f"127.0.0.1:{here}"
                for there, (here, _) in self.ports.items()
            },
            "/run/valkey/valkey.sock": str(self.workspace / "engine.at"),
            "/var/lib/valkey": str(self.workspace / "engine"),
        }.items():
            text = text.replace(there, here)
        return text

    def command(self, unit: str, number: int = 0) -> list[str]:
        """What a unit starts, by the number of its ExecStart."""
        line = unit_value(self.deploy / unit, "ExecStart")[number]
        return shlex.split(self.placed(line))

    def __enter__(self) -> Deployed:
        self.places = ExitStack()
        try:
            self.places.enter_context(self.postgres)
            self.places.callback(super().__exit__)
            self.places.callback(self._django.listening.close)
            self._start()
        except BaseException:
            self.places.close()
            raise
        return self

    def __exit__(self, *exc) -> None:
        self.places.close()

    def _start(self) -> None:
        self.sql("postgres", "--file", str(self.deploy / "postgresql.sql"))
        self.env["DATABASE_URL"] = self.database_url("chat")
        self.manage("migrate", "--verbosity", "0")
        self.manage("collectstatic", "--no-input", "--verbosity", "0")
        self._make_users(*PEOPLE)
        self._certify()
        self.logs.mkdir()
        self.write_site(self.site)
        if self.engine:
            settings = (self.deploy / "valkey.conf").read_text("utf-8")
            self.engine.file.write_text(self.placed(settings), "utf-8")
            self.engine.start()
        self._django.start(self.django_port)
        for chat in self.chats:
            chat.begin(chat.port)
        for chat in self.chats:
            chat.wait()
        self.nginx.start(self.https_port)
        wait_until(self.is_up, self._django.tail, 20)

    def _certify(self) -> None:
        folder = self.workspace / "certificate"
        folder.mkdir()
        key, self.certificate = folder / "privkey.pem", folder / "fullchain.pem"
        words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
        words += f" -days 2 -subj /CN={NAME} -addext subjectAltName=DNS:{NAME}"
        names = ["-keyout", str(key), "-out", str(self.certificate)]
        command = ["openssl", *words.split(), *names]
        subprocess.run(command, check=True, capture_output=True, timeout=30)
        self.trusting = ssl.create_default_context(cafile=self.certificate)

    def write_site(self, text: str) -> None:
        """Write the file of the site, which says `text` but for ports and paths."""
        site = self.workspace / "site"
        user = "user root;" if os.geteuid() == 0 else ""
        site.write_text(self.placed(text), "utf-8")
        main = MAIN.format(user=user, logs=self.logs, mime=MIME, site=site)
        (self.workspace / "main").write_text(main, "utf-8")

    @property
    def django(self) -> Server:
        """Django, which runs from the beginning."""
        return self._django

    def database_url(self, name: str) -> str:
        """The address of a database, as the user chat."""
        return f"postgres://chat@127.0.0.1:{self.postgres.port}/{name}"

    def sql(self, database: str, *words: str, user: str = "postgres") -> str:
        """Run psql with these words; returns what it prints."""
        psql = [self.postgres.programs / "psql", *self.postgres.where, "-U", user]
        psql += ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]
        psql += ["--set=ON_ERROR_STOP=1", *words, database]
        done = subprocess.run(psql, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(self, *command: str, **env: str) -> str:
        """Run a command as a service would; returns what it prints."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.env | env,
            capture_output=True,
            text=True,
            timeout=MANAGE_SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def is_up(self) -> bool:
        """Does Django answer, through nginx?"""
        return self.ask("GET", "/accounts/login/").status == 200

    def ask(
        self,
        method: str,
        path: str,
        body: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> http.client.HTTPResponse:
        """Ask nginx, by TLS; the body is read into `text`. Raises OSError."""
        connection = Secure(NAME, self.https_port, self.trusting)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            response.text = response.read().decode("utf-8", "replace")
        finally:
            connection.close()
        return response

    def let_in(self, names: Sequence[str], rooms: Sequence[str]) -> None:
        """As Chat.let_in() does: the tokens are made as Django makes them."""
        code = f"print([users.create_user(name).pk for name in {[*names]!r}])"
        keys = json.loads(self.shell(USERS + code).splitlines()[-1])
        signer = Signer(key=self.env["CHAT_KEY"], salt="chat.names", fallback_keys=[])
        for name, key in zip(names, keys, strict=True):
            self.users[name] = key
            for room in rooms:
                said = {"room": int(room.strip("/").rpartition("/")[2]), "user": key}
                said |= {"name": name, "expires": time.time() + 600}
                self._tokens[room, name] = signer.sign_object(said)

    def visit(self, method, path, cookies, form=None, **headers):
        """As Chat.visit() does, by TLS and through nginx."""
        headers = headers | cookie_header(cookies)
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            headers["Origin"] = self.origin
        response = self.ask(method, path, form and urlencode(form), headers)
        self.note(f"{method} {path} through nginx: {response.status}")
        for line in response.headers.get_all("Set-Cookie", []):
            for name, cookie in SimpleCookie(line).items():
                cookies[name] = cookie.value
        return response

    def post(self, text: str, token: str, id: str | None = None):
        """Say `text` by long polling, as the page does; returns the response."""
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/x-www-form-urlencoded",
            "Origin": self.origin,
        }
        return self.ask("POST", "/poll", self.form(text, id), headers)

    def open_socket(self, origin: str | None = origin, **headers: str):
        """A WebSocket from a page of `origin`: use it in a `with` block."""
        return connect(
            f"wss://{NAME}/ws",
            sock=socket.create_connection(("127.0.0.1", self.https_port)),
            ssl=self.trusting,
            server_hostname=NAME,
            origin=origin,
            additional_headers=headers,
            proxy=None,
            compression=None,
            close_timeout=1,
        )

    def metrics(self) -> Counter[str]:
        """What the chat servers count, together, by name and labels."""
        together: Counter[str] = Counter()
        for chat in self.chats:
            together.update(chat.metrics())
        return together

    def forget_logins(self) -> None:
        """Forget cookies and tokens that were kept: they may have ended."""
        self._cookies.clear()
        self._tokens.clear()

    def restart_django(self) -> None:
        """What `systemctl restart chat-django` does: the socket stays."""
        self.end(self._django, 35)
        self._django.start(self.django_port)

    def restart_chat(self) -> float:
        """What `systemctl restart chat-server` does, one server after the other.

        Returns how long the longest end took.
        """
        took = []
        for chat in self.chats:
            took.append(self.end(chat, 15))
            chat.start(chat.port)
        return max(took)

    def end_chat(self) -> float:
        """End all chat servers at once. Returns how long the longest end took."""
        began = time.monotonic()
        for chat in self.chats:
            chat.process.send_signal(signal.SIGTERM)
        for chat in self.chats:
            chat.process.wait(15)
        return time.monotonic() - began

    def start_chat(self) -> None:
        """Start them again, and wait until nginx asks them again."""
        for chat in self.chats:
            chat.begin(chat.port)
        for chat in self.chats:
            chat.wait()
        answers = lambda: self.ask("GET", "/poll").status == 401  # noqa: E731
        wait_until(answers, lambda: "nginx asks the chat servers again", 10)

    def end(self, server: Server, seconds: float) -> float:
        """Ask a server to end, as systemd does. Returns how many seconds it took."""
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(seconds)
        return time.monotonic() - began

    def written(self) -> dict[str, str]:
        """All that was logged, by the name of the file: of all servers."""
        files = [*self.logs.glob("*.log"), *self.workspace.glob("*.log")]
        files.append(self.postgres.folder / "log")
        files += [self.engine.log] if self.engine else []
        return {file.name: file.read_text("utf-8", "replace") for file in files}


@contextmanager
def windows_of(server: Deployed, chromium, path: str) -> Iterator:
    """A function that opens a window of a user, by the name of the server."""
    there = f"--host-resolver-rules=MAP {NAME}:443 127.0.0.1:{server.https_port}"
    browser = chromium.browser_type.launch(executable_path=path, args=[*FLAGS, there])
    opened = []

    def window(user: str) -> Window:
        context = browser.new_context(ignore_https_errors=True)
        opened.append(Window(server, context.new_page(), user))
        return opened[-1]

    try:
        yield window
        look_at_consoles(opened)
    finally:
        browser.close()
