"""A mail server: says its port, and then a line for each mail."""

import asyncio

from aiosmtpd.smtp import SMTP


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("refused"):
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        lines = "".join(f".line {n}\r\n" for n in range(5000))
        exact = envelope.content == f"Subject: a test\r\n\r\n{lines}".encode()
        print("as it was sent" if exact else "it has changed")
        size = len(envelope.content)
        print(f"from {envelope.mail_from} to {', '.join(envelope.rcpt_tos)}, {size} bytes")
        return "250 OK"


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Handler()), "127.0.0.1", 0)
    print("port", server.sockets[0].getsockname()[1])
    await server.serve_forever()


asyncio.run(main())
