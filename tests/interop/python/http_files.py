"""An HTTP/1.1 server of the files of a folder, on a free port of 127.0.0.1: prints the port.

Its backlog holds what a burst of clients opens at once. That of `python3 -m http.server` holds five, and a
client whose SYN finds it full waits a second or more.
"""

import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer


class Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"


ThreadingHTTPServer.request_queue_size = 128
handler = partial(Handler, directory=sys.argv[1])
server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
print("port", server.server_address[1], flush=True)
server.serve_forever()
