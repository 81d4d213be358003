//! What RFC 9113 demands of a server whose client breaks a rule, and what it must overlook. h2spec asks
//! much the same, and is to be had by none of the registries that these tests use.

use interop::h2::{Client, End, code, field, flag, frame, kind, request};

use super::serve;

/// A mistake: what the client sends behind the preface, and the error that the section demands. It may
/// end the stream or the whole connection.
struct Mistake {
    section: &'static str,
    bytes: Vec<u8>,
    demanded: u32,
}

fn mistake(section: &'static str, frames: &[Vec<u8>], demanded: u32) -> Mistake {
    Mistake { section, bytes: frames.concat(), demanded }
}

/// A frame of SETTINGS with one setting.
fn setting(number: u16, value: u32) -> Vec<u8> {
    let payload = [&number.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(kind::SETTINGS, 0, 0, &payload)
}

/// A frame of HEADERS, complete, after which the stream goes on.
fn headers(stream: u32, block: &[u8]) -> Vec<u8> {
    frame(kind::HEADERS, flag::END_HEADERS, stream, block)
}

/// A frame of HEADERS, complete, which ends the stream.
fn whole(stream: u32, block: &[u8]) -> Vec<u8> {
    frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, stream, block)
}

/// Mistakes about frames, and about the connection.
fn of_frames() -> Vec<Mistake> {
    use code::{FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, PROTOCOL_ERROR};
    let get = request("/");
    let far = 0x7fff_ffff_u32.to_be_bytes();
    vec![
        mistake("4.2 large frame", &[frame(kind::DATA, 0, 1, &[0; 16_385])], FRAME_SIZE_ERROR),
        mistake("6.1 DATA of 0", &[frame(kind::DATA, 0, 0, b"x")], PROTOCOL_ERROR),
        mistake("6.2 HEADERS of 0", &[whole(0, &get)], PROTOCOL_ERROR),
        mistake(
            "6.4 RST_STREAM of idle",
            &[frame(kind::RST_STREAM, 0, 1, &code::CANCEL.to_be_bytes())],
            PROTOCOL_ERROR,
        ),
        mistake(
            "6.4 short RST_STREAM",
            &[headers(1, &get), frame(kind::RST_STREAM, 0, 1, &[0; 3])],
            FRAME_SIZE_ERROR,
        ),
        mistake("6.5 SETTINGS of 1", &[frame(kind::SETTINGS, 0, 1, &[])], PROTOCOL_ERROR),
        mistake("6.5 odd SETTINGS", &[frame(kind::SETTINGS, 0, 0, &[0; 5])], FRAME_SIZE_ERROR),
        mistake(
            "6.5 SETTINGS of an ACK",
            &[frame(kind::SETTINGS, flag::ACK, 0, &[0; 6])],
            FRAME_SIZE_ERROR,
        ),
        mistake("6.5.2 ENABLE_PUSH", &[setting(2, 2)], PROTOCOL_ERROR),
        mistake("6.5.2 INITIAL_WINDOW_SIZE", &[setting(4, 1 << 31)], FLOW_CONTROL_ERROR),
        mistake("6.5.2 MAX_FRAME_SIZE", &[setting(5, 1)], PROTOCOL_ERROR),
        mistake("6.6 PUSH_PROMISE", &[frame(kind::PUSH_PROMISE, 4, 1, &[0; 4])], PROTOCOL_ERROR),
        mistake("6.7 PING of 1", &[frame(kind::PING, 0, 1, &[0; 8])], PROTOCOL_ERROR),
        mistake("6.7 short PING", &[frame(kind::PING, 0, 0, &[0; 7])], FRAME_SIZE_ERROR),
        mistake("6.8 GOAWAY of 1", &[frame(kind::GOAWAY, 0, 1, &[0; 8])], PROTOCOL_ERROR),
        mistake("6.9 no room", &[frame(kind::WINDOW_UPDATE, 0, 0, &[0; 4])], PROTOCOL_ERROR),
        mistake("6.9 short", &[frame(kind::WINDOW_UPDATE, 0, 0, &[0; 3])], FRAME_SIZE_ERROR),
        mistake(
            "6.9.1 too much room",
            &[frame(kind::WINDOW_UPDATE, 0, 0, &far), frame(kind::WINDOW_UPDATE, 0, 0, &far)],
            FLOW_CONTROL_ERROR,
        ),
        mistake(
            "6.9.1 too much room in a stream",
            &[headers(1, &get), frame(kind::WINDOW_UPDATE, 0, 1, &far)],
            FLOW_CONTROL_ERROR,
        ),
        mistake(
            "6.10 CONTINUATION of nothing",
            &[frame(kind::CONTINUATION, flag::END_HEADERS, 1, &get)],
            PROTOCOL_ERROR,
        ),
        mistake(
            "6.10 DATA between",
            &[frame(kind::HEADERS, 0, 1, &get), frame(kind::DATA, 0, 1, b"x")],
            PROTOCOL_ERROR,
        ),
    ]
}

/// Mistakes about streams and messages.
fn of_streams() -> Vec<Mistake> {
    use code::{COMPRESSION_ERROR, PROTOCOL_ERROR, STREAM_CLOSED};
    let get = request("/");
    let with = |bytes: &[u8]| [&get[..], bytes].concat();
    vec![
        mistake("4.3 no such entry", &[whole(1, &[0xff, 0x80, 0x7f])], COMPRESSION_ERROR),
        mistake("5.1 DATA of idle", &[frame(kind::DATA, 0, 1, b"x")], PROTOCOL_ERROR),
        mistake(
            "5.1 DATA after the end",
            &[whole(1, &request("/hang")), frame(kind::DATA, 0, 1, b"x")],
            STREAM_CLOSED,
        ),
        mistake("5.1.1 an even number", &[whole(2, &get)], PROTOCOL_ERROR),
        mistake("5.1.1 an older number", &[whole(5, &get), whole(3, &get)], PROTOCOL_ERROR),
        mistake("8.2 capitals", &[whole(1, &with(&field("Upper", "x")))], PROTOCOL_ERROR),
        mistake("8.2.2 connection", &[whole(1, &with(&field("connection", "x")))], PROTOCOL_ERROR),
        mistake("8.3 unknown", &[whole(1, &with(&field(":unknown", "x")))], PROTOCOL_ERROR),
        mistake("8.3.1 no method", &[whole(1, &get[1..])], PROTOCOL_ERROR),
        mistake("8.3.1 two methods", &[whole(1, &with(&[0x82]))], PROTOCOL_ERROR),
        mistake(
            "8.1.1 a shorter body",
            &[
                headers(1, &with(&field("content-length", "5"))),
                frame(kind::DATA, flag::END_STREAM, 1, b"four"),
            ],
            PROTOCOL_ERROR,
        ),
    ]
}

#[test]
fn a_mistake_ends_its_stream_or_connection_and_no_other() {
    let (_server, addr) = serve();
    let mut standing = Client::connect(addr);
    let mut stream = 1;
    let mut wrong = Vec::new();
    for mistake in of_frames().into_iter().chain(of_streams()) {
        let mut client = Client::connect(addr);
        client.send(&mistake.bytes);
        let end = client.end();
        let demanded = mistake.demanded;
        // The crate h2 calls what it cannot decode a PROTOCOL_ERROR, whatever it is.
        let ends = [End::GoAway(demanded), End::Reset(demanded), End::GoAway(code::PROTOCOL_ERROR)];
        if !ends.contains(&end) {
            wrong.push(format!("{}: {end:?} in place of {demanded}", mistake.section));
        }
        assert_eq!(standing.get(stream, "/"), b"hello", "{}", mistake.section);
        stream += 2;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_a_client_may_do_is_overlooked() {
    let (_server, addr) = serve();
    let mut client = Client::connect(addr);
    let unknown = [
        frame(0xee, 0xff, 0, b"a type that does not exist"),
        frame(0xee, 0xff, 77, b"a type that does not exist"),
        setting(0xfff0, 7),
        frame(kind::PRIORITY, 0, 9, &[0, 0, 0, 0, 1]),
        frame(kind::WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()),
        frame(kind::SETTINGS, 0x70, 0, &[]),
    ];
    client.send(&unknown.concat());
    assert_eq!(client.get(1, "/"), b"hello");

    // A head in pieces, of which one is empty, padded and with weights.
    let block = [&[3, 0, 0, 0, 0, 1][..], &request("/")[..2], &[0; 3]].concat();
    let rest = &request("/")[2..];
    let pieces = [
        frame(kind::HEADERS, flag::END_STREAM | 0x8 | 0x20, 3, &block),
        frame(kind::CONTINUATION, 0, 3, &rest[..5]),
        frame(kind::CONTINUATION, 0, 3, &[]),
        frame(kind::CONTINUATION, flag::END_HEADERS, 3, &rest[5..]),
    ];
    client.send(&pieces.concat());
    let mut answer = Vec::new();
    while answer.is_empty() {
        let frame = client.next_frame().expect("the connection goes on");
        assert!(![kind::GOAWAY, kind::RST_STREAM].contains(&frame.kind), "{frame:?}");
        if frame.kind == kind::DATA && frame.stream == 3 {
            answer = frame.payload;
        }
    }
    assert_eq!(answer, b"hello");
}
