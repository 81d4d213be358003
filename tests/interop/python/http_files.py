"""An HTTP/1.1 server of the files of a folder, on a free port of 127.0.0.1: prints the port."""

import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler

from http_serving import serve


class Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"


serve(partial(Handler, directory=sys.argv[1]))
