"""Prints the port of a UDP socket, and then the two bits for ECN in the header of the first datagram."""

import socket

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
    receiver.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
    receiver.bind(("127.0.0.1", 0))
    print("port", receiver.getsockname()[1], flush=True)
    datagram, control, _, _ = receiver.recvmsg(2048, socket.CMSG_SPACE(1))
    [(level, kind, value)] = control
    assert (level, kind) == (socket.IPPROTO_IP, socket.IP_TOS), control
    print(len(datagram), value[0] & 0b11, flush=True)
