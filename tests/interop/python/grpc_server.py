"""The gRPC service `interop.Words` on a free port of 127.0.0.1: prints the port."""

from concurrent.futures import ThreadPoolExecutor

import grpc

from grpc_messages import number, of_number, of_text, text


def say(word, context):
    if not word:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no word: grüße")
    return word.upper()


def count(end, context):
    yield from range(end)
    if end == 666:
        context.abort(grpc.StatusCode.OUT_OF_RANGE, "that far and no further")


def total(numbers, context):
    return sum(numbers)


def talk(words, context):
    for word in words:
        yield word.upper()


methods = {
    "Say": grpc.unary_unary_rpc_method_handler(say, of_text, text),
    "Count": grpc.unary_stream_rpc_method_handler(count, of_number, number),
    "Total": grpc.stream_unary_rpc_method_handler(total, of_number, number),
    "Talk": grpc.stream_stream_rpc_method_handler(talk, of_text, text),
}
server = grpc.server(ThreadPoolExecutor(8))
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("interop.Words", methods)])
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print("port", port, flush=True)
server.wait_for_termination()
