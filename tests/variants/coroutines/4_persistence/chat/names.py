from django.core.exceptions import DisallowedHost
from django.http import HttpResponse


def only_our_names(get_response):
    """Answers who comes under another name, before an error page would tell much."""

    def answer(request):
        try:
            request.get_host()
        except DisallowedHost:
            return HttpResponse("Not under this name.\n", status=400)
        return get_response(request)

    return answer
