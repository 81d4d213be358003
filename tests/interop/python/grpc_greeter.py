"""Calls the example `grpc` of corepoll-hyper, `corepoll.Greeter`, and prints `ok` if it answers as its
definition says.

    grpc_greeter.py 127.0.0.1:PORT
"""

import sys

import grpc

from grpc_messages import of_text, text


def name(of, times=0):
    """A `Name`: a field of text, and one of a number, which fits into seven bits."""
    return text(of) + (b"\x10" + bytes([times]) if times else b"")


with grpc.insecure_channel(sys.argv[1]) as channel:
    greet = channel.unary_unary("/corepoll.Greeter/Greet", None, of_text)
    greet_often = channel.unary_stream("/corepoll.Greeter/GreetOften", None, of_text)
    missing = channel.unary_unary("/corepoll.Greeter/Missing", None, of_text)

    # Many at once.
    calls = [greet.future(name("Ada %d" % index), timeout=60) for index in range(100)]
    assert [call.result() for call in calls] == ["Hello, Ada %d!" % index for index in range(100)]
    assert list(greet_often(name("Grüße", 3), timeout=60)) == ["Hello, Grüße!"] * 3
    assert list(greet_often(name("nobody"), timeout=60)) == []

    # Errors: of the service, of a stream before it begins, of a method that is not there.
    for call, code in [
        (lambda: greet(name(""), timeout=60), grpc.StatusCode.INVALID_ARGUMENT),
        (lambda: list(greet_often(name("", 1), timeout=60)), grpc.StatusCode.INVALID_ARGUMENT),
        (lambda: missing(name("Ada"), timeout=60), grpc.StatusCode.UNIMPLEMENTED),
        # 64 KiB are the most.
        (lambda: greet(name("x" * 100_000), timeout=60), grpc.StatusCode.OUT_OF_RANGE),
        # The stream waits between its answers.
        (lambda: list(greet_often(name("Ada", 100), timeout=0.3)), grpc.StatusCode.DEADLINE_EXCEEDED),
    ]:
        try:
            call()
            raise AssertionError("it succeeds in place of %s" % code)
        except grpc.RpcError as error:
            assert error.code() == code, error
    assert greet(name("after"), timeout=60) == "Hello, after!"
print("ok")
