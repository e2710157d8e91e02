"""Who may come in: each request is looked at before anything is done for it."""

from contextlib import suppress
from ipaddress import IPv6Address

from chat.addresses import network
from django.http.request import split_domain_port, validate_host

from .limits import RETRY_SECONDS, Refused

USUAL_PORTS = {"http": ":80", "https": ":443"}


def is_host(request, hosts):
    """Return whether a request asks for one of these.

    A page of another site may have a name that leads to this machine. Its browser says
    that name in the Host header, so we have to know our own.
    """
    said = request.requestHeaders.getRawHeaders(b"host", [])
    domain, _ = split_domain_port(b" ".join(said).decode("latin-1"))
    return bool(domain) and validate_host(domain, hosts)


def as_browsers_send(origin):
    """Return an origin as browsers write it.

    In small letters, without the port that everybody knows, and with an IPv6 address in
    its shortest form.
    """
    scheme, _, host = origin.strip().rstrip("/").lower().partition("://")
    host = host.removesuffix(USUAL_PORTS.get(scheme, ""))
    if host.startswith("["):
        address, _, port = host[1:].partition("]")
        with suppress(ValueError):  # No browser has such an origin.
            host = f"[{IPv6Address(address)}]{port}"
    return f"{scheme}://{host}".encode()


class Door:
    """Refuses requests that are meant for others, or that other sites' pages send."""

    def __init__(self, factory, hosts, origins, proxies=()):
        self.factory = factory
        self.hosts = hosts
        self.origins = origins  # as browsers send them
        self.proxies = proxies  # addresses, whose word we take for where somebody is

    def let_in(self, request):
        """Return the address that a request comes from, or raise Refused."""
        if not is_host(request, self.hosts):
            raise Refused(400, "host", "there is no such host here")
        self.check_origin(request)
        if not request.uri.isascii():
            raise Refused(400, "strange", "the address has strange bytes")
        if self.factory.is_closing:
            raise Refused(503, "closing", "the server is going down", RETRY_SECONDS)
        address = self.address(request)
        if not request.guard.let_in(address):
            raise Refused(503, "most", "there is no place left", RETRY_SECONDS)
        return address

    def knock(self, request, refused):
        """Count what was refused, too. Return it, or that it was too often."""
        if wait := self.factory.knocks.take(self.address(request)):
            return Refused(429, "knocks", "too much that was refused", wait)
        return refused

    def check_origin(self, request):
        # Browsers let any site speak to any other, and say in the Origin header which
        # site it was. A program that is no browser sends none.
        origins = request.requestHeaders.getRawHeaders(b"origin", [])
        request.setHeader(b"vary", b"Origin")
        if len(origins) > 1 or not set(origins) <= set(self.origins):
            raise Refused(403, "origin", f"{origins} may not speak here")
        for origin in origins:
            request.setHeader(b"access-control-allow-origin", origin)
            request.setHeader(b"access-control-expose-headers", b"Retry-After")

    def address(self, request):
        peer = request.getClientAddress().host
        if peer in self.proxies:
            told = request.requestHeaders.getRawHeaders(b"x-real-ip", [b""])[-1]
            return network(told.decode("latin-1") or peer)
        return network(peer)
