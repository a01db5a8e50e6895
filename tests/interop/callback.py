"""What the Python clients share: the loopback listener to which the browser comes back."""

from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from urllib.parse import parse_qsl, urlsplit


class Callback:
    """The loopback listener to which the browser comes back."""

    def __init__(self):
        self.queries: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.queries.append(urlsplit(self.path).query)
                body = b"You can close this window."
                self.send_response(200)
                self.send_header("content-type", "text/plain")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        Thread(target=self.server.serve_forever, daemon=True).start()

    def redirect_uri(self, host: str = "127.0.0.1") -> str:
        """Where the browser is to be sent, on `host`."""
        return f"http://{host}:{self.port}/callback"

    def answers(self) -> list[dict[str, str]]:
        """What came back, in order."""
        return [dict(parse_qsl(query)) for query in self.queries]

    def __enter__(self) -> "Callback":
        return self

    def __exit__(self, *_) -> None:
        self.server.shutdown()
        self.server.server_close()
