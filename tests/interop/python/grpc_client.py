"""Talks to the gRPC service `interop.Words`, and prints `ok` if it does all that it must.

    grpc_client.py 127.0.0.1:PORT
"""

import sys

import grpc

from grpc_messages import number, of_number, of_text, text


def failed(call, code):
    try:
        list(call()) if code is None else call()
    except grpc.RpcError as error:
        return error.code(), error.details()
    raise AssertionError("it succeeds")


limits = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
with grpc.insecure_channel(sys.argv[1], options=limits) as channel:
    say = channel.unary_unary("/interop.Words/Say", text, of_text)
    count = channel.unary_stream("/interop.Words/Count", number, of_number)
    total = channel.stream_unary("/interop.Words/Total", number, of_number)
    talk = channel.stream_stream("/interop.Words/Talk", text, of_text)
    missing = channel.unary_unary("/interop.Words/Missing", text, of_text)

    # Unary: many at once, and a large message.
    calls = [say.future("word %d" % index, timeout=60) for index in range(200)]
    assert [call.result() for call in calls] == ["WORD %d" % index for index in range(200)]
    large = "x" * 3_000_000
    assert say(large, timeout=60) == large.upper()

    # A stream of answers, one of requests, and one of both.
    assert list(count(5000, timeout=60)) == list(range(5000))
    # The crate h2 ends a connection whose service has some 2,000 small messages still to read.
    assert total(iter(range(1000)), timeout=60) == sum(range(1000))
    words = ["one", "two", "three"]
    assert list(talk(iter(words), timeout=60)) == ["ONE", "TWO", "THREE"]

    # Errors: of the service, in the middle of a stream, of a method that is not there, of a deadline.
    def say_nothing():
        return say("", timeout=60)

    assert failed(say_nothing, True) == (grpc.StatusCode.INVALID_ARGUMENT, "no word: grüße")
    got = []
    try:
        for value in count(666, timeout=60):
            got.append(value)
        raise AssertionError("it succeeds")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.OUT_OF_RANGE, error
    assert got == list(range(666)), len(got)
    code, _ = failed(lambda: missing("word", timeout=60), True)
    assert code == grpc.StatusCode.UNIMPLEMENTED, code
    code, _ = failed(lambda: say("hang", timeout=0.3), True)
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED, code
    assert say("after", timeout=60) == "AFTER"
print("ok")
