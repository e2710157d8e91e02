"""What every request to Django passes through first."""

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpResponseBadRequest


def believe_proxies(get_response):
    """Take a client's address, and whether it has come by TLS, from a proxy of ours.

    Anybody can send these headers, so from anybody else they are ignored.
    """

    def middleware(request):
        said = request.META
        if said.get("REMOTE_ADDR") in settings.CHAT_PROXIES:
            said["REMOTE_ADDR"] = said.get("HTTP_X_REAL_IP", said["REMOTE_ADDR"])
        else:
            said.pop("HTTP_X_FORWARDED_PROTO", None)
        return get_response(request)

    return middleware


def refuse_other_encodings(get_response):
    """Take forms in UTF-8 only, as our pages send them.

    In some others, half a character can be written, which no database takes.
    """

    def middleware(request):
        if (request.encoding or "utf-8").lower() not in ("utf-8", "utf8"):
            return HttpResponseBadRequest("Forms are in UTF-8 here.")
        return get_response(request)

    return middleware


def keep_session(get_response):
    """Let a login have the session that it has, also when keys are renewed.

    Django gives it another one, with the first request that it sees afterwards. A
    second one that is under way would be nobody's, and its answer would log them out.
    """

    def middleware(request):
        request.session.cycle_key = lambda: None
        request.user.is_authenticated  # noqa: B018 (it is looked up now)
        del request.session.cycle_key
        return get_response(request)

    return middleware


def content_security_policy(get_response):
    """Send SECURE_CSP along, as Django does from version 6 on."""
    policy = "; ".join(
        f"{what} {' '.join(sources)}" for what, sources in settings.SECURE_CSP.items()
    )

    def middleware(request):
        response = get_response(request)
        # Django's own pages about errors, which only DEBUG shows, have styles inside.
        if not (settings.DEBUG and response.status_code in (404, 500)):
            response.headers.setdefault("Content-Security-Policy", policy)
        return response

    return middleware


def refuse_other_hosts(get_response):
    """Answer a request for another host before Django's error page does.

    With DEBUG, that page shows the environment, and in DATABASE_URL is a password. To
    read it, a site needs no more than a name of its own that leads to 127.0.0.1.
    """

    def middleware(request):
        try:
            request.get_host()
        except DisallowedHost:
            return HttpResponseBadRequest("No such host here.")
        return get_response(request)

    return middleware
