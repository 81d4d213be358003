"""Gets, posts and gets much over HTTP/3, and compares each answer: http3_client.py CAFILE PORT."""

import asyncio
import sys

from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, StreamReset

LARGE = 8_000_001
PERIOD = 65_521


def pattern(length):
    period = bytes(index % 251 for index in range(PERIOD))
    return (period * (length // PERIOD + 1))[:length]


class Client(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.answers = {}

    async def request(self, method, path, body=b""):
        stream = self._quic.get_next_available_stream_id()
        headers = [(b":method", method), (b":scheme", b"https"), (b":authority", b"localhost"), (b":path", path)]
        answer = (asyncio.get_running_loop().create_future(), {}, bytearray())
        self.answers[stream] = answer
        self.http.send_headers(stream, headers, end_stream=not body)
        if body:
            self.http.send_data(stream, body, end_stream=True)
        self.transmit()
        return await answer[0]

    def quic_event_received(self, event):
        if isinstance(event, (ConnectionTerminated, StreamReset)):
            for future, _, _ in self.answers.values():
                if not future.done():
                    future.set_exception(ConnectionError(str(event)))
            return
        for event in self.http.handle_event(event):
            future, headers, body = self.answers[event.stream_id]
            if isinstance(event, HeadersReceived):
                headers.update(event.headers)
            elif isinstance(event, DataReceived):
                body += event.data
            if event.stream_ended:
                future.set_result((headers[b":status"], bytes(body)))


async def main(authority, port):
    configuration = QuicConfiguration(is_client=True, alpn_protocols=["h3"])
    configuration.load_verify_locations(authority)
    async with connect("localhost", port, configuration=configuration, create_protocol=Client) as client:
        assert await client.request(b"GET", b"/hello") == (b"200", b"hello"), "GET"
        assert (await client.request(b"GET", b"/nothing"))[0] == b"404", "404"
        body = pattern(100_000)
        assert await client.request(b"POST", b"/echo", body) == (b"200", body), "POST"
        several = [client.request(b"POST", b"/echo", bytes([n]) * 1000) for n in range(50)]
        for n, answer in enumerate(await asyncio.gather(*several)):
            assert answer == (b"200", bytes([n]) * 1000), "one of several"
        large = pattern(LARGE)
        assert await client.request(b"POST", b"/echo", large) == (b"200", large), "a large body"
    print("ok")


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
