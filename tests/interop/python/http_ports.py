"""An HTTP/1.1 server on a free port of 127.0.0.1: prints the port, and answers with that of the client."""

from http.server import BaseHTTPRequestHandler

from http_serving import serve


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = str(self.client_address[1]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


serve(Handler)
