"""Talks to a WebSocket server that sends every message back, and prints `ok` if it does all that it must.

    websocket_client.py ws://127.0.0.1:PORT/PATH
"""

import os
import sys

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

with connect(sys.argv[1], compression=None, max_size=None, close_timeout=60) as socket:
    socket.send("text: grüße")
    assert socket.recv() == "text: grüße"

    # 1 MiB in one frame, and an empty message.
    binary = os.urandom(1 << 20)
    for message in (binary, b""):
        socket.send(message)
        assert socket.recv() == message

    # A message of a thousand fragments.
    fragments = [b"%d," % number for number in range(1000)]
    socket.send(fragments)
    assert socket.recv() == b"".join(fragments)

    # A ping is answered by itself, between other messages.
    socket.send("before")
    pong = socket.ping(b"payload")
    assert socket.recv() == "before"
    assert pong.wait(60), "no pong"

    # The server sends the close frame back.
    socket.close(4001, "enough")
    try:
        socket.recv()
        raise AssertionError("it goes on after the end")
    except ConnectionClosed as closed:
        assert closed.sent.code == 4001, closed
        assert closed.rcvd is not None and closed.rcvd.code == 4001, closed
print("ok")
