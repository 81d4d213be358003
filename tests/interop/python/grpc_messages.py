"""The messages of `interop.Words`. They have one field each, so they are written by hand."""


def _varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(data, at=1):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def text(word):
    data = word.encode()
    return b"\x0a" + _varint(len(data)) + data if data else b""


def of_text(data):
    return data[_read_varint(data)[1] :].decode() if data else ""


def number(value):
    return b"\x08" + _varint(value) if value else b""


def of_number(data):
    return _read_varint(data)[0] if data else 0
