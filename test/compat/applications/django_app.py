# What test/compat/compare.mjs asks, as a Django application.
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import FileResponse, HttpResponse, HttpResponseRedirect, JsonResponse, StreamingHttpResponse
from django.urls import path

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="of a test", USE_TZ=True)


def index(request):
    return JsonResponse(
        dict(args=request.GET.dict(), host=request.get_host(), url=request.build_absolute_uri(), cookies=request.COOKIES)
    )


def echo(request):
    body = request.body
    return JsonResponse(
        dict(method=request.method, length=len(body), type=request.content_type, start=body[:32].decode("latin-1"))
    )


def stream(request):
    return StreamingHttpResponse((f"line {n}\n" for n in range(100)), content_type="text/plain")


def file(request):
    return FileResponse(open(__file__, "rb"), content_type="text/plain")


def cookies(request):
    response = HttpResponse("cookies")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


def error(request):
    raise RuntimeError("on purpose")


urlpatterns = [
    path("", index),
    path("echo", echo),
    path("stream", stream),
    path("file", file),
    path("cookies", cookies),
    path("redirect", lambda request: HttpResponseRedirect("/elsewhere")),
    path("empty", lambda request: HttpResponse(status=204)),
    path("error", error),
]
app = get_wsgi_application()
