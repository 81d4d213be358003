"""What the HTTP servers among the peers share."""

from http.server import ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    # It holds what a burst of clients opens at once. The default is five, and a client whose SYN finds the
    # backlog full waits for a second or more.
    request_queue_size = 128


def serve(handler):
    """Serves on a free port of 127.0.0.1, and prints the port."""
    server = Server(("127.0.0.1", 0), handler)
    print("port", server.server_address[1], flush=True)
    server.serve_forever()
