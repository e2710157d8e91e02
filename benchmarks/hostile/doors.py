"""Requests that say they come from elsewhere, or are for somebody else.

Through a proxy as well: a door is known by its base URL, such as https://127.0.0.1:8443.
"""

from __future__ import annotations

import socket
import ssl
from urllib.parse import urlsplit

from .line import PATIENCE, status_of


def variants(origin: str, host: str) -> dict[str, list[str]]:
    """Header lines that have to be refused, by what is wrong with them.

    `origin` and `host` are the ones that are right.
    """
    scheme, _, name = origin.partition("://")
    bare, _, port = name.partition(":")
    other = {"http": "https", "https": "http"}[scheme]
    right, ours = f"Origin: {origin}", f"Host: {host}"
    return {
        "a foreign origin": [ours, "Origin: http://attacker.example"],
        "the origin null": [ours, "Origin: null"],
        "an origin that begins as ours": [
            ours,
            f"Origin: {scheme}://{bare}.attacker.example{':' * bool(port)}{port}",
        ],
        "an origin that ends as ours": [ours, f"Origin: {scheme}://attacker-{name}"],
        "our origin with another port": [ours, f"Origin: {scheme}://{bare}:8666"],
        "our origin with another scheme": [ours, f"Origin: {other}://{name}"],
        "two origins": [ours, "Origin: http://attacker.example", right],
        "a foreign host": ["Host: attacker.example", right],
        "two hosts": [ours, "Host: attacker.example", right],
        "no host": [right],
    }


def request(method: str, path: str, lines: list[str], token: str, opens: bool) -> bytes:
    """A request with these header lines; one that `opens` a WebSocket, or a poll."""
    more = [f"Authorization: Bearer {token}"]
    if opens:
        more = [
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        ]
    first = f"{method} {path} HTTP/1.1"
    return "\r\n".join([first, *lines, *more, "", ""]).encode("latin-1")


def knock(base: str, data: bytes, at: int | None = None) -> int | None:
    """Send a request to the server at `base`, and return the status of its answer.

    With `at`, it is at this port of 127.0.0.1, and its name is that of `base` all the
    same. None if it hangs up instead. A certificate is not looked at: it may be of our
    own.
    """
    url = urlsplit(base)
    usual = 443 if url.scheme == "https" else 80
    address = ("127.0.0.1", at) if at else (url.hostname, url.port or usual)
    with socket.create_connection(address, PATIENCE) as connection:
        if url.scheme == "https":
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection = context.wrap_socket(connection, server_hostname=url.hostname)
        try:
            connection.sendall(data)
            return status_of(connection.recv(200))
        except ConnectionError:
            return None
        finally:
            connection.close()


def try_all(
    base: str,
    origin: str,
    token: str,
    socket_path: str = "/ws",
    poll_path: str = "/",
    at: int | None = None,
) -> dict:
    """Knock in every wrong way at both doors, and once in the right way at each.

    The doors are at `base`; `at` is for knock(). Returns how many were "refused" "of"
    how many, the "let_in" who should not have been, and whether who is right
    "gets_in". A refusal is any 4xx, or to hang up.
    """
    host = urlsplit(base).netloc
    found = {"refused": 0, "of": 0, "let_in": [], "answers": {}}
    doors = {"socket": (socket_path, True, 101), "poll": (poll_path, False, 200)}
    for what, lines in variants(origin, host).items():
        for door, (path, opens, _) in doors.items():
            status = knock(base, request("GET", path, lines, token, opens), at)
            found["of"] += 1
            found["answers"][f"{what}, {door}"] = status
            if status is None or 400 <= status < 500:
                found["refused"] += 1
            else:
                found["let_in"].append(f"{what}, {door}: {status}")
    right = [f"Host: {host}", f"Origin: {origin}"]
    statuses = {
        door: knock(base, request("GET", path, right, token, opens), at)
        for door, (path, opens, _) in doors.items()
    }
    return found | {
        "gets_in": all(statuses[door] == doors[door][2] for door in doors),
        "right": statuses,
    }
