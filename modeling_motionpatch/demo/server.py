"""`DemoApp` <-> HTTP: a page, its script and style, and three queries answered in JSON. Standard library only.

What a visitor can name is a text, a row number and a file's name; the paths served are those of a fixed table. Bound to
this machine alone, the server also refuses other sites: a `Host` that is not local (DNS rebinding), a foreign `Origin`.
"""

import json
import logging
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from ..rendering_html import STATIC, key_html
from .app import DEFAULT_HITS, DemoApp, DemoError


logger = logging.getLogger(__name__)

MAX_JSON = 16_384  # bytes; a text of 1000 characters is at most 12 kB of escaped JSON
MAX_CONNECTIONS = 32  # at a time; each may hold one upload in memory
SLOT_SECONDS = 5  # that a connection beyond these waits for one of them to end
SOCKET_SECONDS = 30  # without a byte, after which a connection is closed
DRAIN_FACTOR = 4  # of the limit: what is read of a refused upload, so that the browser gets to see why
_DRAIN_BYTES = 1 << 16
_LOCAL = ("127.0.0.1", "localhost", "::1")
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class DemoServer(ThreadingHTTPServer):
    """Serves a [`DemoApp`].

    Args:
        app (`DemoApp`): What answers.
        host (`str`): Address to bind to.
        port (`int`): 0 takes a free one.

    Raises:
        DemoError: The port is taken, or the host is not one of this machine.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = (
        128  # connections that wait to be accepted; of the usual 5, some are reset when many come at once
    )

    def __init__(self, app: DemoApp, host: str, port: int):
        self.app = app
        self.files = _files(app)
        self._slots = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._thread: threading.Thread | None = None
        if ":" in host:
            self.address_family = socket.AF_INET6
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            raise DemoError(
                f"The demo cannot listen on {host}, port {port}: {error}. Another port may be free."
            ) from error
        self.local = self.server_address[0] in ("127.0.0.1", "::1")

    @property
    def url(self) -> str:
        """Address of the page."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "::1": "[::1]"}.get(self.server_address[0])
        return f"http://{host or self.server_address[0]}:{self.server_address[1]}/"

    def start(self) -> "DemoServer":
        """Serves in a thread."""
        self._thread = threading.Thread(target=self.serve_forever, name="motionpatch-demo", daemon=True)
        self._thread.start()
        return self

    def wait(self) -> None:
        """Returns when the server is closed."""
        while self._thread is not None and self._thread.is_alive():
            self._thread.join(timeout=0.5)  # with a timeout, so that Ctrl+C is heard on every system

    def close(self) -> None:
        """Stops serving."""
        if self._thread is not None:
            self.shutdown()
            self._thread.join()
        self.server_close()

    def __enter__(self) -> "DemoServer":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def process_request(self, request, client_address) -> None:
        if not self._slots.acquire(timeout=SLOT_SECONDS):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request, client_address) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request, client_address) -> None:
        logger.debug("A connection of the demo ended early.", exc_info=True)


def _files(app: DemoApp) -> dict[str, tuple[str, bytes]]:
    """Path -> content type and content: all that can be had with GET."""

    def text(name: str) -> str:
        return (STATIC / name).read_text(encoding="utf-8")

    page = text("demo.html").replace("<!-- key -->", key_html())
    return {
        "/": ("text/html", page.encode()),
        "/demo.js": ("text/javascript", text("demo.js").encode()),
        "/player.js": ("text/javascript", text("player.js").encode()),
        "/style.css": ("text/css", (text("player.css") + text("demo.css")).encode()),
        "/info": ("application/json", _json(app.info())),
        "/favicon.ico": ("image/svg+xml", b'<svg xmlns="http://www.w3.org/2000/svg"/>'),
    }


def _json(value) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


class _Handler(BaseHTTPRequestHandler):
    server: DemoServer
    server_version, sys_version = "motionpatch", ""
    timeout = SOCKET_SECONDS

    def do_GET(self) -> None:
        if not self._trusted():
            return
        path = urlsplit(self.path).path
        if path not in self.server.files:
            self._refuse(HTTPStatus.NOT_FOUND, "There is no such page.")
            return
        self._send(HTTPStatus.OK, *self.server.files[path])

    do_HEAD = do_GET

    def do_POST(self) -> None:
        if not self._trusted():
            return
        parts = urlsplit(self.path)
        answer = {"/text": self._text, "/similar": self._similar, "/motion": self._motion}.get(parts.path)
        if answer is None:
            self._refuse(HTTPStatus.NOT_FOUND, "There is no such query.")
            return
        try:
            result = answer(parts.query)
            if result is not None:
                self._send(HTTPStatus.OK, "application/json", _json(result))
        except DemoError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
        except (TimeoutError, ConnectionError):
            raise  # nobody is there to be told
        except Exception:
            logger.exception("The demo could not answer a query.")
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong here; the demo's log says what.")

    # ------------------------------------------------------------------------------------------------ queries

    def _text(self, query: str) -> dict | None:
        values = self._json_body()
        return (
            None if values is None else self.server.app.search_text(values.get("text"), values.get("k", DEFAULT_HITS))
        )

    def _similar(self, query: str) -> dict | None:
        values = self._json_body()
        return (
            None
            if values is None
            else self.server.app.search_similar(values.get("row"), values.get("k", DEFAULT_HITS))
        )

    def _motion(self, query: str) -> dict | None:
        """A body of files one after the other; `?name=...&size=...` tells where each ends."""
        fields = parse_qs(query, max_num_fields=10)
        body = self._body(self.server.app.max_upload_bytes, "application/octet-stream")
        if body is None:
            return None
        names = fields.get("name", [])
        try:
            k = int(fields.get("k", [DEFAULT_HITS])[0])
            sizes = [int(size) for size in fields.get("size", [])]
        except ValueError:
            raise DemoError("The upload's sizes are not numbers.") from None
        if len(names) != len(sizes) or any(size < 0 for size in sizes) or sum(sizes) != len(body):
            raise DemoError("The upload does not have the sizes that it says; it may have been cut off. Try again.")
        ends = [sum(sizes[: index + 1]) for index in range(len(sizes))]
        files = [(name, body[end - size : end]) for name, size, end in zip(names, sizes, ends)]
        return self.server.app.search_files(files, k)

    # ------------------------------------------------------------------------------------------------ reading

    def _trusted(self) -> bool:
        """Whether a page of this server asks, where only this machine is served."""
        if not self.server.local:
            return True
        host = self.headers.get("Host", "")
        try:
            known = urlsplit(f"//{host}").hostname in _LOCAL
        except ValueError:
            known = False
        origin = self.headers.get("Origin")
        if known and (origin is None or origin == f"http://{host}"):
            return True
        self._refuse(HTTPStatus.FORBIDDEN, "This demo answers only its own page on this machine.")
        return False

    def _body(self, limit: int, kind: str) -> bytes | None:
        """The body of a request; `None` where it was refused.

        Browsers ask before they send other kinds than forms have to another site, and are told nothing here.
        """
        if self.headers.get_content_type() != kind:
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"The body must be {kind}.")
            return None
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            length = -1
        if length < 0:
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "The length of the body is missing.")
            return None
        if length > limit:
            self._drain(min(length, DRAIN_FACTOR * limit))
            self._refuse(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"{length / 1e6:.1f} MB are too much; at most {limit / 1e6:g} MB are read.",
            )
            return None
        body = self.rfile.read(length)
        if len(body) < length:
            raise ConnectionError("the body was cut off")
        return body

    def _drain(self, length: int) -> None:
        while length > 0:
            piece = self.rfile.read(min(length, _DRAIN_BYTES))
            if not piece:
                return
            length -= len(piece)

    def _json_body(self) -> dict | None:
        body = self._body(MAX_JSON, "application/json")
        if body is None:
            return None
        try:
            values = json.loads(body)
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, dict):
            raise DemoError("The body must be a JSON object.")
        return values

    # ------------------------------------------------------------------------------------------------ writing

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        self._send(status, "application/json", _json({"error": reason}))

    def _send(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind if kind == "image/svg+xml" else f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        if self.server.local:
            self.send_header("X-Frame-Options", "DENY")  # elsewhere, as in a Space, the page is shown inside another
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args) -> None:
        logger.debug("%s %s", self.address_string(), format % args)
