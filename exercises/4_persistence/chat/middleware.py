"""What every request to Django passes through first."""

from django.core.exceptions import DisallowedHost
from django.http import HttpResponseBadRequest


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
