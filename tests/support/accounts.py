"""Somebody with a browser, for black-box tests: reads pages, and sends their forms."""

from __future__ import annotations

import http.client
import re
from urllib.parse import urljoin, urlsplit

from bs4 import BeautifulSoup, Tag

from tests.support.forms import button_of, sending
from tests.support.html import forms_in, parse
from tests.support.servers import Chat


class Visitor:
    """Who asks Django for pages: nobody yet, or `user`, who is logged in.

    The login is one of its own: to end it hurts nobody else.
    """

    def __init__(self, chat: Chat, user: str | None = None):
        self.chat, self.user = chat, user
        self.cookies: dict[str, str] = {}
        self.at = "/chats/"  # the page that was read last
        if user:
            chat.make_users(user)
            self.cookies = chat.log_in(user)

    def get(self, path: str) -> http.client.HTTPResponse:
        """GET a page, without following redirects."""
        return self.chat.visit("GET", path, self.cookies)

    def post(self, path: str, **fields: str) -> http.client.HTTPResponse:
        """POST fields with no token against forgery, as a page of another site does."""
        return self.chat.visit("POST", path, self.cookies, fields)

    def read(self, path: str) -> BeautifulSoup:
        """Read a page. Raises AssertionError if there is none."""
        __tracebackhide__ = True
        return parse(self._show(path))

    def _show(self, path: str) -> str:
        __tracebackhide__ = True
        response = self.get(path)
        assert response.status == 200, (
            f"{self.user or 'Who is nobody'} asks for {path}, and should be shown a "
            f"page (200). The answer was {response.status}."
        )
        self.at = path
        return response.text

    def forms(self, path: str) -> list[Tag]:
        """The forms of a page that change something: those that are sent by POST."""
        __tracebackhide__ = True
        found = forms_in(self._show(path))
        return [form for form in found if form.get("method", "").lower() == "post"]

    def form(self, path: str, *fields: str, button: str = "") -> Tag:
        """The one form of a page that has these fields, and such a button.

        Raises AssertionError if there is none, or more than one.
        """
        __tracebackhide__ = True
        found = [
            form
            for form in self.forms(path)
            if all(form.find(attrs={"name": field}) for field in fields)
            and button_of(form, button)
        ]
        what = " and ".join(
            [f"a field {field!r}" for field in fields]
            + ([f"a button with {button!r} in its name"] if button else [])
        )
        assert found, f'{path} should have a <form method="post"> with {what}.'
        assert len(found) == 1, f"{path} should have one form with {what}, not more."
        return found[0]

    def submit(
        self, form: Tag, button: str = "", **changes: str | None
    ) -> http.client.HTTPResponse:
        """Send a form of the page that was read last, with these fields changed.

        It is sent by the first button with such a name. A field that is changed to
        None is left out, as a box that is not ticked.
        """
        target, fields = sending(form, self.at, button)
        said = {
            name: one for name, one in (fields | changes).items() if one is not None
        }
        return self.chat.visit("POST", target, self.cookies, said)

    def press(self, path: str, button: str) -> http.client.HTTPResponse:
        """Press the button with such a name, on the page at `path`."""
        __tracebackhide__ = True
        return self.submit(self.form(path, button=button), button)

    def links(self, path: str) -> list[str]:
        """The paths of our own to which a page links, with their queries."""
        ours = self.chat.origin
        hrefs = [link["href"] for link in self.read(path)("a", href=True)]
        found = [urljoin(ours + path, href).partition("#")[0] for href in hrefs]
        return [one.removeprefix(ours) for one in found if one.startswith(f"{ours}/")]

    def find_form(self, path: str, *fields: str) -> Tag:
        """The form with these fields on a page that `path` links to.

        Raises AssertionError if no such page is linked.
        """
        __tracebackhide__ = True
        links = [*dict.fromkeys(self.links(path))]
        for link in links:
            if re.search(r"/\d+/$|^/admin/", urlsplit(link).path):
                continue
            for form in forms_in(self.get(link).text):
                if all(form.find(attrs={"name": field}) for field in fields):
                    self.at = link
                    return form
        raise AssertionError(
            f"{path} should link to a page that has a form with the fields "
            f"{', '.join(fields)}. It links to {links}."
        )


def page_text(response: http.client.HTTPResponse) -> str:
    """The words of a page."""
    return parse(response.text).get_text(" ", strip=True)
