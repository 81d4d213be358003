"""A WebSocket server on a free port of 127.0.0.1: prints the port, and sends every message back."""

from websockets.sync.server import serve


def echo(socket):
    for message in socket:
        if message == "close":
            socket.close(4002, "as asked")
            return
        socket.send(message)


with serve(echo, "127.0.0.1", 0, compression=None, max_size=None) as server:
    print("port", server.socket.getsockname()[1], flush=True)
    server.serve_forever()
