"""What tests run in a page before its own scripts, and answer in its server's place."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

from tests.support.servers import Chat

# Milliseconds until a page that lost its server for a moment has tried again. On a
# busy machine a server may take seconds to start, and the page waits longer each time.
COMES_BACK = 18_000
# Half a second stands for the seconds that the page waits for an answer, however it
# measures them.
SHORT_WAITS = """
const short = (wait) => Math.min(wait, 500);
const { timeout } = AbortSignal;
AbortSignal.timeout = (wait) => timeout.call(AbortSignal, short(wait));
const { setTimeout } = window;
window.setTimeout = (done, wait, ...rest) => setTimeout(done, short(wait), ...rest);
const { set } = Object.getOwnPropertyDescriptor(XMLHttpRequest.prototype, "timeout");
Object.defineProperty(XMLHttpRequest.prototype, "timeout", {
  set(wait) { set.call(this, short(wait)); },
});
"""


def is_poll(url: str) -> bool:
    """Is this the address of a poll?"""
    return "/?lastupdate=" in url or "/?epoch=" in url or "/?wait=" in url


def is_greeting(url: str) -> bool:
    """Is it one that is answered at once?"""
    return "lastupdate=-1" in url or "wait=0" in url


def answer_with_nothing(chat: Chat, route) -> None:
    """End the poll that Playwright holds up, as a server that had nothing to say."""
    asked_for = dict(parse_qsl(urlsplit(route.request.url).query))
    if chat.has_history:
        answer = chat.nothing_missed | {**asked_for, "seq": int(asked_for["seq"])}
    else:
        answer = {"status": 1, "timestamp": float(asked_for["lastupdate"]), "data": []}
    route.fulfill(json=answer, headers={"Access-Control-Allow-Origin": "*"})
