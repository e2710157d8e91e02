"""The pictures of the site: real pages, real servers, a real Chromium.

Each is taken light and dark. Windows get a drawn frame, since a headless browser has
none.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path

from tutorial.doctor.checks import CHROMIUM_FLAGS, find_browser
from tutorial.processes import end, free_ports
from tutorial.site.pages import DOCS
from tutorial.stages import ROOT, find_stage

PICTURES = DOCS / "img"
NOTES = PICTURES / "made_from.json"
SHADES = ("light", "dark")
PATIENCE = 20.0  # seconds for a server to start, and for a page to show something
FRAME = """
<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; padding: 14px; display: grid; gap: 14px; width: max-content;
       grid-template-columns: repeat({columns}, max-content);
       font: 13px system-ui, sans-serif; background: transparent; color: {ink}; }}
figure {{ margin: 0; zoom: {zoom}; border: 1px solid {line}; border-radius: 8px;
         overflow: hidden; background: {bar}; box-shadow: 0 2px 8px #0004; }}
figcaption {{ padding: 6px 12px; }}
figcaption::before {{ content: "●●●"; letter-spacing: 2px; color: {line};
                     margin-right: 10px; }}
img {{ display: block; }}
</style>{windows}
"""
COLOURS = {
    "light": {"ink": "#333", "line": "#b8bcc6", "bar": "#e9ebf0"},
    "dark": {"ink": "#ddd", "line": "#5c6270", "bar": "#2c3038"},
}


class NoBrowser(Exception):
    """There is no Chromium to take pictures with."""


@contextmanager
def chat(stage: str) -> Iterator[tuple[str, str, subprocess.Popen | None]]:
    """Run a stage on free ports: yields its pages, its chat server, its process."""
    with tempfile.TemporaryDirectory() as passing:
        folder = find_stage(stage).copy_to(Path(passing, "chat"))
        django, twisted = free_ports(2)
        environ = {
            **os.environ,
            "CHAT_PORT": str(twisted),
            "CHAT_ORIGINS": f"http://127.0.0.1:{django}",
        }
        manage = [sys.executable, "manage.py"]
        options = {"cwd": folder, "env": environ, "stdout": subprocess.DEVNULL}
        options["stderr"] = subprocess.DEVNULL
        subprocess.run([*manage, "migrate"], check=True, **options)
        commands = [[*manage, "runserver", "--noreload", str(django)]]
        if (folder / "chatserver.py").exists():
            twistd = Path(sys.executable).with_name("twistd")
            commands.append([str(twistd), "-n", "-y", "chatserver.py"])
        started = [
            subprocess.Popen(words, start_new_session=True, **options)
            for words in commands
        ]
        try:
            for port in (django, twisted)[: len(started)]:
                wait_for(port)
            yield (
                f"http://127.0.0.1:{django}",
                f"http://127.0.0.1:{twisted}",
                started[1] if len(started) > 1 else None,
            )
        finally:
            for process in started:
                end(process)


def wait_for(port: int) -> None:
    """Return when something listens on `port`. Raises TimeoutError."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on {port}")


class Camera:
    """Takes one picture: windows on real pages, then their frame."""

    def __init__(self, browser, shade: str):
        self.browser, self.shade = browser, shade
        self.windows: list = []

    def open(self, address: str, width: int = 400, height: int = 420):
        """A new window of a browser of its own; returns its page."""
        context = self.browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=self.shade,
            device_scale_factor=1,
        )
        page = context.new_page()
        page.goto(address)
        self.windows.append(page)
        return page

    def take(self, name: str, columns: int = 2, zoom: float = 1.0) -> None:
        """Write the picture of all open windows and close them."""
        figures = []
        for page in self.windows:
            shot = base64.b64encode(page.screenshot()).decode()
            path = urllib.parse.urlsplit(page.url).path
            figures.append(
                f"<figure><figcaption>127.0.0.1:8000{escape(path)}</figcaption>"
                f'<img src="data:image/png;base64,{shot}"></figure>'
            )
        columns = min(columns, len(figures))
        text = FRAME.format(
            columns=columns,
            zoom=zoom,
            windows="".join(figures),
            **COLOURS[self.shade],
        )
        frame = self.browser.new_page()
        frame.set_content(text)
        path = PICTURES / f"{name}-{self.shade}.png"
        frame.locator("body").screenshot(path=path, omit_background=True)
        frame.close()
        for page in self.windows:
            page.context.close()
        self.windows.clear()


def say(page, text: str) -> None:
    """Type a message into a window and send it."""
    box = page.get_by_role("textbox")
    box.fill(text)
    box.press("Enter")


def hears(page, text: str) -> None:
    """Wait until a window shows `text`."""
    page.get_by_text(text, exact=True).wait_for(timeout=PATIENCE * 1000)


def rooms(camera: Camera) -> None:
    """Stage 1: the list of rooms and an empty room."""
    with chat("stage1_django_ui") as (pages, _, _):
        camera.open(f"{pages}/chats/", height=300)
        camera.open(f"{pages}/chats/1/", height=300)
        camera.take("rooms")


def two_windows(camera: Camera) -> None:
    """Stage 2: two windows that talk."""
    with chat("stage2_websocket") as (pages, _, _):
        ann, ben = (camera.open(f"{pages}/chats/1/") for _ in range(2))
        for page in (ann, ben):
            hears(page, "connected ....")
        for speaker, text in (
            (ann, "Is anybody here?"),
            (ben, "Yes, in the other window."),
            (ann, "And nobody pressed reload."),
        ):
            say(speaker, text)
            hears(ann, text)
            hears(ben, text)
        camera.take("two-windows")


def both_transports(camera: Camera) -> None:
    """Stage 3: one window with a WebSocket, one that polls."""
    with chat("stage3_longpoll") as (pages, _, _):
        socket = camera.open(f"{pages}/chats/1/")
        poller = camera.open(f"{pages}/chats/long_poll/1/")
        hears(socket, "connected ....")
        hears(poller, "connected...")
        for speaker, text in (
            (poller, "I ask, and wait for the answer."),
            (socket, "I have a socket. We share one conversation."),
        ):
            say(speaker, text)
            hears(socket, text)
            hears(poller, text)
        camera.take("both-transports")


def parked_pollers(camera: Camera) -> None:
    """Stage 3: eight parked pollers, and the four that one message wakes.

    The server is stopped right after the message, before the sweep comes round.
    """
    text = "Who hears this at once?"
    for _ in range(10):
        with chat("stage3_longpoll") as (pages, server, process):
            address = f"{pages}/chats/long_poll/1/"
            windows = [camera.open(address, 370, 430) for _ in range(8)]
            for page in windows:
                hears(page, "connected...")
            settle(windows)
            body = urllib.parse.urlencode({"new_message": text}).encode()
            with urllib.request.urlopen(server, body):
                os.kill(process.pid, signal.SIGSTOP)
            try:
                settle(windows)
                heard = [page.get_by_text(text).count() for page in windows]
                if sum(heard) == 4:
                    camera.take("parked-pollers", 4, zoom=0.7)
                    return
                for page in camera.windows:
                    page.context.close()
                camera.windows.clear()
            finally:
                os.kill(process.pid, signal.SIGCONT)
    raise TimeoutError("a sweep always came between")


@contextmanager
def own_site() -> Iterator[str]:
    """Build the site, as far as it is there, and serve it; yields its address."""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--no-strict"]
        subprocess.run(
            [*words, "--site-dir", folder],
            cwd=ROOT,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        [port] = free_ports(1)
        server = subprocess.Popen(
            [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            wait_for(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            end(server)


def settle(windows) -> None:
    """Let each page finish what it is doing."""
    for page in windows:
        page.wait_for_timeout(100)


# Each picture, and the folders that it shows: a change there asks for a new one.
ALL: dict[Callable[[Camera], None], tuple[str, ...]] = {
    rooms: ("stage1_django_ui/chat/static", "stage1_django_ui/chat/templates"),
    two_windows: ("stage2_websocket/chat/static", "stage2_websocket/chat/templates"),
    both_transports: ("stage3_longpoll/chat/static", "stage3_longpoll/chat/templates"),
    parked_pollers: ("stage3_longpoll/chat/static", "stage3_longpoll/chat/templates"),
}


def name_of(take: Callable[[Camera], None]) -> str:
    """The name by which pages call a picture."""
    return take.__name__.replace("_", "-")


def made_from() -> dict[str, str]:
    """For each picture a digest of the files that it shows, as they are now."""
    found = {}
    for take, folders in ALL.items():
        digest = hashlib.sha256()
        for path in sorted(p for f in folders for p in (ROOT / f).rglob("*.*")):
            if path.is_file() and path.suffix != ".pyc":
                digest.update(path.read_bytes())
        found[name_of(take)] = digest.hexdigest()[:16]
    return found


def take_all(
    names: tuple[str, ...] = (), progress: Callable[[str], None] = lambda text: None
) -> None:
    """Take pictures anew: those in `names`, or all, and note what they show.

    Raises NoBrowser, and LookupError for a name that is none.
    """
    known = {name_of(take): take for take in ALL}
    if unknown := set(names) - set(known):
        raise LookupError(
            f"No picture {', '.join(unknown)}. There is {', '.join(known)}."
        )
    from playwright.sync_api import sync_playwright

    path = find_browser()
    if path is None:
        raise NoBrowser("There is no Chromium. Install it, or name it in CHROMIUM.")
    PICTURES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        for shade in SHADES:
            for name in names or known:
                progress(f"{name}, {shade}")
                known[name](Camera(browser, shade))
        browser.close()
    notes = json.loads(NOTES.read_text("utf-8")) if NOTES.exists() else {}
    now = made_from()
    notes |= {name: now[name] for name in names or known}
    NOTES.write_text(json.dumps(notes, indent=1) + "\n", "utf-8")
