"""What tests run in a page before its own scripts, and answer in its server's place."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from tests.support.clients import SECONDS
from tests.support.servers import STRANGERS, Chat, wait_until

# Milliseconds until a page that lost its server for a moment has tried again. On a
# busy machine a server may take seconds to start, and the page waits longer each time.
# Who has more patience with a client has it with a page.
COMES_BACK = 1_800 * max(SECONDS, 10)
# The page's own patience, 25 times as short, but half a second at least, however it
# measures it: a poll that should end after 25 seconds ends after one.
SHORT_WAITS = """
const short = (wait) => Math.max(Math.min(wait, 500), wait / 25);
const { timeout } = AbortSignal;
AbortSignal.timeout = (wait) => timeout.call(AbortSignal, short(wait));
const { setTimeout } = window;
window.setTimeout = (done, wait, ...rest) => setTimeout(done, short(wait), ...rest);
const { set } = Object.getOwnPropertyDescriptor(XMLHttpRequest.prototype, "timeout");
Object.defineProperty(XMLHttpRequest.prototype, "timeout", {
  set(wait) { set.call(this, short(wait)); },
});
"""
# What the page sends to one port of this machine goes to another one. To answer for
# the page's own server would make Chromium take it for a public one.
BY_THE_LINE = """
  const byTheLine = (url) => `${url}`.replace(PORTS);
  const { fetch } = window;
  window.fetch = (asked, options) =>
    asked instanceof Request
      ? fetch(new Request(byTheLine(asked.url), asked), options)
      : fetch(byTheLine(asked), options);
  const { open } = XMLHttpRequest.prototype;
  XMLHttpRequest.prototype.open = function (method, url, ...more) {
    open.call(this, method, byTheLine(url), ...more);
  };
  window.WebSocket = class extends WebSocket {
    constructor(url, ...more) {
      super(byTheLine(url), ...more);
    }
  };
"""
# Notes each text that is added where a screen reader reads out what is new.
READ_OUT = """
window.readOut = [];
const isLive = (node) => {
  for (let at = node; at; at = at.parentElement) {
    const live = at.getAttribute?.("aria-live");
    if (live) return live !== "off";
    if (["log", "status", "alert"].includes(at.getAttribute?.("role"))) return true;
  }
  return false;
};
const spoken = (node) => {
  if (node.nodeType !== Node.ELEMENT_NODE) return node.textContent;
  if (node.getAttribute("aria-live") === "off") return "";
  return [...node.childNodes].map(spoken).join("");
};
new MutationObserver((records) => {
  for (const { target, addedNodes } of records) {
    for (const node of addedNodes) {
      if (isLive(target)) window.readOut.push(spoken(node).trim());
    }
  }
}).observe(document, {childList: true, subtree: true});
"""

START_TAG = "element => element.cloneNode(false).outerHTML"


def by_another_port(window, port: int) -> None:
    """Have a window that is not open yet speak to `port`, not to the chat server."""
    ports = f'":{window.chat.chat_port}/", ":{port}/"'
    window.begin_with(BY_THE_LINE.replace("PORTS", ports))
    if window.chat.target.stage.number >= STRANGERS:
        # Its policy names the chat server, and not this one.
        window.spoilt = True
        devtools = window.context.new_cdp_session(window.page)
        devtools.send("Page.setBypassCSP", {"enabled": True})


def top(part) -> float:
    """How far below the top of the window a part of a page begins, in pixels.

    `part` is a Locator. A page may put another one in its place: for a moment neither
    can be seen. Raises AssertionError if that goes on.
    """
    boxes: list[dict | None] = []

    def is_seen() -> bool:
        boxes.append(part.bounding_box())
        return boxes[-1] is not None

    wait_until(is_seen, lambda: f"{part.evaluate(START_TAG)} is to be seen in its page")
    return boxes[-1]["y"]


class Parking(ThreadingHTTPServer):
    """A chat server that greets, and answers no poll. `parked` are those that wait.

    One that `stalls` sends half of each greeting.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, chat: Chat, stalls: bool = False):
        super().__init__(("127.0.0.1", 0), Parked)
        self.parked: set[object] = set()
        self.stalls, self.greeted = stalls, 0
        self.over = threading.Event()
        self.greeting = {"status": 1, "timestamp": 0.0, "data": ["connected..."]}
        if chat.has_history:
            self.greeting = chat.nothing_new

    def __enter__(self) -> Parking:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc) -> None:
        self.over.set()
        self.shutdown()
        self.server_close()


class Parked(BaseHTTPRequestHandler):
    """How one request to `Parking` is treated."""

    protocol_version = "HTTP/1.1"

    def do_OPTIONS(self) -> None:
        self._answer(b"")

    def do_GET(self) -> None:
        if not is_greeting(self.path):
            self.server.parked.add(self)
            self.server.over.wait()
        self.server.greeted += 1
        self._answer(json.dumps(self.server.greeting).encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Access-Control-Allow-Origin", self.headers["Origin"] or "*")
        self.send_header("Access-Control-Allow-Headers", "authorization")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if body and self.server.stalls:
            self.wfile.write(body[: len(body) // 2])
            self.server.over.wait()
        else:
            self.wfile.write(body)

    def log_message(self, *words) -> None:
        """Be quiet."""


def close_at(words: str, socket) -> None:
    """Close a WebSocket that Playwright holds, when the page says these words.

    By 4400, as a server that refuses a message. All else reaches the server.
    """
    server = socket.connect_to_server()

    def pass_on(frame: str) -> None:
        if words in frame:
            socket.close(code=4400)
            server.close()
        else:
            server.send(frame)

    socket.on_message(pass_on)


def is_poll(url: str) -> bool:
    """Is this the address of a poll?"""
    path, names = urlsplit(url).path, dict(parse_qsl(urlsplit(url).query))
    return path == "/" and bool({"lastupdate", "epoch", "seq", "wait"} & {*names})


def is_greeting(url: str) -> bool:
    """Is it one that is answered at once?"""
    return "lastupdate=-1" in url or "wait=0" in url


def answer_with_nothing(chat: Chat, route) -> None:
    """End the poll that Playwright holds up, as a server that had nothing to say."""
    asked_for = dict(parse_qsl(urlsplit(route.request.url).query))
    if chat.has_history:
        place = {"epoch": asked_for["epoch"], "seq": int(asked_for["seq"])}
        answer = chat.nothing_new | place
    else:
        answer = {"status": 1, "timestamp": float(asked_for["lastupdate"]), "data": []}
    route.fulfill(json=answer, headers={"Access-Control-Allow-Origin": "*"})
