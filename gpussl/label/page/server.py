"""The server of the labelling page: who may ask, and what each address answers.

All addresses need the token, which the first one sets as a cookie. Names of hosts and origins are checked, so that no
other page in the browser can reach the server, not even by a name that is made to point at this machine.
"""

import asyncio
import contextlib
import functools
import hmac
import json
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request, cookie_parser
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from gpussl.errors import ConfigError, GpusslError, InputError
from gpussl.label.page.desk import Desk

STATIC = Path(__file__).parent / "static"
FILES = {"page.html": "text/html", "page.css": "text/css", "page.js": "text/javascript", "page.svg": "image/svg+xml"}
LARGEST_BODY, SLOWEST_BODY = 2**20, 10.0  # bytes, seconds
MOST_AT_ONCE = 50  # points in an answer
LOOPBACK = ("127.0.0.1", "localhost", "::1")
ANYWHERE = ("0.0.0.0", "::")  # noqa: S104 - only compared with
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
CLOSING = 1  # seconds for requests that are being answered when the server stops

Handler = Callable[[Request], Any]


class Rounds(Protocol):
    """Learns and chooses in the background, while a person goes on labelling.

    Examples
    --------
    >>> from gpussl.tasks.label_page import RoundWorker
    >>> rounds: Rounds = RoundWorker(Path("mine.gpussl"), [], desk=None)
    >>> rounds.state()["is_running"]
    False
    """

    def start(self, n_labels: int) -> None:
        """Begin the next round. GpusslError if one is under way."""
        ...

    def state(self) -> dict[str, Any]:
        """Return whether a round is under way, and what it has said."""
        ...


def app(desk: Desk, rounds: Rounds, token: str, host: str = LOOPBACK[0], port: int = 0, by: str = "") -> Starlette:
    """Return the application.

    Parameters
    ----------
    desk : Desk
    rounds : Rounds
    token : str
        A secret.
    host, port
        Where the server listens.
    by : str
        The name of the person, unless the page is told another.

    Examples
    --------
    >>> import tempfile
    >>> from gpussl.label.page.example import fruit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [route.path for route in app(fruit(folder), None, "secret").routes][:2]
    ['/', '/page.css']
    """
    routes = [
        Route("/", _file("page.html")),
        Route("/page.css", _file("page.css")),
        Route("/page.js", _file("page.js")),
        Route("/favicon.ico", _file("page.svg")),
        Route("/picture/{handle}", _answering(functools.partial(_picture, desk))),
        Route("/api/state", _answering(functools.partial(_state, desk, rounds, by))),
        Route("/api/next", _answering(functools.partial(_next, desk))),
        Route("/api/group", _answering(functools.partial(_group, desk))),
        Route("/api/second_look", _answering(functools.partial(_second_look, desk))),
        Route("/api/answers", _answering(functools.partial(_answers, desk)), methods=["POST"]),
        Route("/api/classes", _answering(functools.partial(_classes, desk)), methods=["POST"]),
        Route("/api/round", _answering(functools.partial(_round, rounds)), methods=["POST"]),
    ]
    made = Starlette(routes=routes)
    made.add_middleware(Guard, token=token, host=host, cookie=f"gpussl_{port}")
    return made


class Guard:
    """Lets in what has the token, names this host, and does not come from another page.

    Examples
    --------
    >>> guard = Guard(None, token="secret", host="127.0.0.1", cookie="gpussl_1")
    >>> guard.refusal({b"host": b"evil.example"}, "GET", "/", "token=secret")
    (421, 'this server is not called so')
    """

    def __init__(self, inner: Any, token: str, host: str, cookie: str) -> None:
        self._inner, self._token, self._host, self._cookie = inner, token, host, cookie

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._inner(scope, receive, send)
            return
        query = scope["query_string"].decode("latin-1")
        refused = self.refusal(dict(scope["headers"]), scope["method"], scope["path"], query)
        extra = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
        if refused is None and scope["path"] == "/":
            extra.append((b"set-cookie", self._set_cookie().encode()))

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        if refused is not None:
            status, reason = refused
            await PlainTextResponse(f"{reason}\n", status)(scope, receive, with_headers)
            return
        await self._inner(scope, receive, with_headers)

    def refusal(self, headers: Mapping[bytes, bytes], method: str, path: str, query: str) -> tuple[int, str] | None:
        """Return the status and the reason for which a request is refused; None if it is not."""
        here = headers.get(b"host", b"").decode("latin-1")
        allowed = {*LOOPBACK, self._host.lower()} if self._host not in ANYWHERE else None
        if allowed is not None and _host_in(here) not in allowed:
            return 421, "this server is not called so"
        origin = headers.get(b"origin")
        if origin is not None and _netloc_of(origin.decode("latin-1")) != here:
            return 403, "this request comes from another page"
        if method not in ("GET", "HEAD", "POST"):
            return 405, "expected GET or POST"
        given = self._cookies(headers)
        if path == "/" and method == "GET":
            given += parse_qs(query).get("token", [])
        if not any(hmac.compare_digest(value.encode(), self._token.encode()) for value in given):
            return 403, "open the address that gpussl label has printed: it has a token"
        return None

    def _cookies(self, headers: Mapping[bytes, bytes]) -> list[str]:
        found = cookie_parser(headers.get(b"cookie", b"").decode("latin-1"))
        return [found[self._cookie]] if self._cookie in found else []

    def _set_cookie(self) -> str:
        return f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict"


def listen(host: str, port: int, preferred: int = 0) -> socket.socket:
    """Return a socket that listens on a port; on port 0 the preferred one, or any that is free.

    Raises
    ------
    ConfigError
        The port is taken, or the host is not one of this machine.

    Examples
    --------
    >>> with listen("127.0.0.1", 0) as listening:
    ...     listening.getsockname()[0]
    '127.0.0.1'
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port or preferred, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"host: expected a name or an address of this machine, found {host}") from error
    # asyncio turns the delay of small packets off, 40 ms each, only where the protocol is named
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        if not port and preferred:
            return listen(host, 0)
        raise ConfigError(
            f"port: expected a free one on {host}, found {port} ({error.strerror}); another with port=..."
        ) from error
    return listening


def ready(application: Starlette) -> uvicorn.Server:
    """Return a server that answers requests until the process is interrupted.

    >>> ready(Starlette()).config.server_header
    False
    """
    config = uvicorn.Config(
        application,
        log_level="critical",
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        http="h11",
        timeout_graceful_shutdown=CLOSING,
    )
    return uvicorn.Server(config)


def _netloc_of(origin: str) -> str | None:
    with contextlib.suppress(ValueError):
        return urlsplit(origin).netloc
    return None


def _host_in(netloc: str) -> str:
    """The name in a Host header, without the port."""
    with contextlib.suppress(ValueError):
        return urlsplit(f"//{netloc}").hostname or ""
    return ""


def _file(name: str) -> Handler:
    """Answers with a file of the page."""

    async def answer(request: Request) -> Response:
        content = await run_in_threadpool((STATIC / name).read_bytes)
        return Response(content, media_type=FILES[name])

    return answer


def _answering(work: Callable[[Request, Any], Response | Any]) -> Handler:
    """Calls a function with the request and its body in a thread, and answers with what it returns as JSON."""

    async def answer(request: Request) -> Response:
        try:
            body = await _body(request) if request.method == "POST" else None
            found = await run_in_threadpool(work, request, body)
        except _Refused as refused:
            return JSONResponse({"error": refused.reason}, refused.status)
        except InputError as error:
            return JSONResponse({"error": str(error)}, 400)
        except GpusslError as error:
            return JSONResponse({"error": str(error)}, 500)
        return found if isinstance(found, Response) else _json(found)

    return answer


def _json(found: Any) -> Response:
    """JSON in which names of files that are no UTF-8 come back as they went."""
    return Response(json.dumps(found, ensure_ascii=True), media_type="application/json")


class _Refused(Exception):
    def __init__(self, status: int, reason: str) -> None:
        self.status, self.reason = status, reason


async def _body(request: Request) -> Any:
    """The JSON object that was sent."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise _Refused(415, "expected JSON")
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > LARGEST_BODY:
        raise _Refused(413, f"expected at most {LARGEST_BODY} bytes")
    content = bytearray()
    try:
        async with asyncio.timeout(SLOWEST_BODY):
            async for part in request.stream():
                content += part
                if len(content) > LARGEST_BODY:
                    raise _Refused(413, f"expected at most {LARGEST_BODY} bytes")
    except (TimeoutError, ClientDisconnect):
        raise _Refused(408, f"expected the whole request within {SLOWEST_BODY:.0f} seconds") from None
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise _Refused(400, "expected JSON") from None
    if not isinstance(found, dict):
        raise _Refused(400, "expected a JSON object")
    return found


def _picture(desk: Desk, request: Request, body: Any) -> Response:
    try:
        content, media_type = desk.picture(request.path_params["handle"])
    except InputError as error:
        return JSONResponse({"error": str(error)}, 404)
    return Response(content, media_type=media_type)


def _state(desk: Desk, rounds: Rounds, by: str, request: Request, body: Any) -> Any:
    return {**desk.state(), "by": request.query_params.get("by") or by, "rounds": rounds.state()}


def _next(desk: Desk, request: Request, body: Any) -> Any:
    return desk.next(_screen(request), _number(request), _have(request))


def _group(desk: Desk, request: Request, body: Any) -> Any:
    return desk.group(_screen(request))


def _second_look(desk: Desk, request: Request, body: Any) -> Any:
    return desk.second_look(_screen(request), _number(request), _have(request))


def _answers(desk: Desk, request: Request, body: Any) -> Any:
    return desk.take(body.get("by", ""), body.get("events"))


def _classes(desk: Desk, request: Request, body: Any) -> Any:
    by = body.get("by", "")
    desk.change_class(by if isinstance(by, str) else "", body)
    return {}


def _round(rounds: Rounds, request: Request, body: Any) -> Any:
    n_labels = body.get("n_labels")
    if not isinstance(n_labels, int) or isinstance(n_labels, bool) or n_labels < 1:
        raise InputError("n_labels: expected a whole number of at least 1, found another")
    rounds.start(n_labels)
    return rounds.state()


def _screen(request: Request) -> str:
    screen = request.query_params.get("screen", "")
    if not 0 < len(screen) <= 80:
        raise InputError("screen: expected the name of a screen, found none")
    return screen


def _number(request: Request) -> int:
    n = request.query_params.get("n", "1")
    if not n.isdecimal() or len(n) > 9 or not 0 < int(n) <= MOST_AT_ONCE:
        raise InputError(f"n: expected a whole number from 1 to {MOST_AT_ONCE}, found another")
    return int(n)


def _have(request: Request) -> set[str]:
    given = [text for text in request.query_params.get("have", "").split(",") if text]
    if len(given) > 10 * MOST_AT_ONCE:
        raise InputError("have: expected handles of points on the screen, found too many")
    return set(given)
