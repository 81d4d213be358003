"""An HTTP/3 server: http3_server.py CERTIFICATE KEY. Prints its port, and sends each body back."""

import asyncio
import sys

from aioquic.asyncio import QuicConnectionProtocol, serve
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration


class Echo(QuicConnectionProtocol):
    http = None

    def quic_event_received(self, event):
        if self.http is None:
            self.http = H3Connection(self._quic)
        for event in self.http.handle_event(event):
            if isinstance(event, HeadersReceived):
                self.http.send_headers(event.stream_id, [(b":status", b"200")], end_stream=event.stream_ended)
            elif isinstance(event, DataReceived):
                self.http.send_data(event.stream_id, event.data, end_stream=event.stream_ended)
        self.transmit()


async def main(certificate, key):
    configuration = QuicConfiguration(is_client=False, alpn_protocols=["h3"])
    configuration.load_cert_chain(certificate, key)
    server = await serve("127.0.0.1", 0, configuration=configuration, create_protocol=Echo)
    print("port", server._transport.get_extra_info("sockname")[1], flush=True)
    await asyncio.Event().wait()


asyncio.run(main(sys.argv[1], sys.argv[2]))
