"""Requests to the chat server, and what is done with each before it is rendered."""

import json
from http import HTTPStatus
from math import ceil

from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from . import watch
from .guard import BODY, BUSY
from .limits import Refused

COUNTED = (401, 429)  # by whoever refused it


class Root(Resource):
    """What is at all addresses but those of its children: nothing."""

    def getChild(self, path, request):
        return self

    def render(self, request):
        raise Refused(404, "path", "there is nothing here")


class ChatRequest(Request):
    """A request that is refused as early as it can be."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.guard = self.channel.transport

    def gotLength(self, length):
        """The head is here, and says how long the body is; None if it does not."""
        if length is not None and length > self.guard.limits.body:
            length = 0
            self.refuse_body()
        # For a body of which the length is not known, Twisted would make a file.
        super().gotLength(length or 0)
        if length != 0:
            self.guard.expect(BODY)

    def handleContentChunk(self, data):
        if self.content.tell() + len(data) > self.guard.limits.body:
            self.refuse_body()
        elif not self.guard.refused:
            super().handleContentChunk(data)

    def refuse_body(self):
        self.guard.answer(Refused(413, "too_large", "the body is too long"))

    def process(self):
        if self.guard.refused:
            return
        self.guard.expect(BUSY)
        self.setHeader(b"x-content-type-options", b"nosniff")
        try:
            self.site = self.channel.site
            self.address = self.site.door.let_in(self)
        except Refused as refused:
            self.refuse(refused)
        else:
            super().process()

    def render(self, resource):
        try:
            super().render(resource)
        except Refused as refused:
            self.refuse(refused)

    def refuse(self, refused):
        if 400 <= refused.code < 500 and refused.code not in COUNTED:
            refused = self.site.door.knock(self, refused)
        watch.refused(refused.reason, refused.why)
        phrase = HTTPStatus(refused.code).phrase.encode()
        self.setResponseCode(refused.code, phrase)
        self.setHeader(b"content-type", b"application/json")
        if refused.code == 401:
            self.setHeader(b"www-authenticate", b"Bearer")
        if refused.wait is not None:
            self.setHeader(b"retry-after", b"%d" % ceil(refused.wait))
        # Who is told to come later need not keep a connection meanwhile, nor may it ask
        # in vain on this one for ever.
        if refused.code in (429, 503):
            self.setHeader(b"connection", b"close")
            self.channel.persistent = False
        body = json.dumps({"status": 0, "error": refused.why}).encode()
        self.setHeader(b"content-length", b"%d" % len(body))
        self.write(body)
        self.finish()

    def finish(self):
        # First: after that, another request may be under way.
        self.guard.is_done()
        self.guard.let_read(super().finish)


class ChatSite(Site):
    """Logs nothing itself: what is refused is logged where it is refused.

    A line for each poll would cost as much as the poll.
    """

    def __init__(self, root, door):
        # Guard has time-outs. Forms are read when it is known whose they are.
        super().__init__(root, ChatRequest, timeout=None, parsePOSTFormSubmission=False)
        self.door = door

    def log(self, request):
        pass
