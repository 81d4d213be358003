//! The HTTP half of the `techempower` example, held to RFC 9112 without a socket.
//!
//! Each test also says that the cut doesn't matter: [`answers_to`] feeds its input whole, byte by
//! byte, and in two parts cut at every place, and insists on one outcome.

#[path = "../../examples/techempower/http/mod.rs"]
mod http;

use http::{Connection, DateField, Verdict};
use proptest::prelude::*;

/// The longest head that is read.
const HEAD_LIMIT: usize = 8 * 1024;

/// Above this length, not every cut is tried.
const EXHAUSTIVE_LIMIT: usize = 512;

/// Sunday, the sixth of November 1994, 08:49:37: the RFC's own example.
const SECONDS: u64 = 784_111_777;

/// All that a connection answers to `chunks`, and its last verdict.
fn feed_chunks<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, Verdict) {
    let mut connection = Connection::new();
    let mut output = Vec::new();
    let mut verdict = Verdict::Keep;
    for chunk in chunks {
        verdict = connection.feed(chunk, &DateField::at(SECONDS), &mut output);
    }
    (output, verdict)
}

/// What is answered to `input`, which is the same however it is cut.
fn answers_to(input: &[u8]) -> (String, Verdict) {
    let whole = feed_chunks([input]);
    assert_eq!(whole, feed_chunks(input.chunks(1)), "byte by byte");
    let stride = input.len().div_ceil(EXHAUSTIVE_LIMIT).max(1);
    for cut in (1..input.len()).step_by(stride) {
        let parts = [&input[..cut], &input[cut..]];
        assert_eq!(whole, feed_chunks(parts), "cut at {cut}");
    }
    (String::from_utf8(whole.0).expect("answers are text"), whole.1)
}

/// The statuses of all answers in an output, in order.
fn statuses(output: &str) -> Vec<u16> {
    let lines = output.split("HTTP/1.1 ").skip(1);
    lines.map(|rest| rest[..3].parse().expect("a status")).collect()
}

/// `input` is answered with these statuses, and then more may come.
#[track_caller]
fn assert_kept(input: impl AsRef<[u8]>, expected: &[u16]) {
    let (output, verdict) = answers_to(input.as_ref());
    assert_eq!((statuses(&output).as_slice(), verdict), (expected, Verdict::Keep), "{output}");
}

/// `input` is answered with these statuses, and the last answer announces the end.
#[track_caller]
fn assert_closed(input: impl AsRef<[u8]>, expected: &[u16]) {
    let (output, verdict) = answers_to(input.as_ref());
    assert_eq!((statuses(&output).as_slice(), verdict), (expected, Verdict::Close), "{output}");
    let last = output.rfind("HTTP/1.1 ").expect("an answer");
    assert!(output[last..].contains("\r\nConnection: close\r\n"), "{output}");
}

/// A request for `/plaintext` with these fields, each with its line end, and this body.
fn request_with(fields: &str, body: &str) -> String {
    format!("GET /plaintext HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}")
}

/// A chunked request, followed by a plain one.
fn chunked_then_plain(body: &str) -> String {
    request_with("Transfer-Encoding: chunked\r\n", body) + &request_with("", "")
}

// ---- answers ----------------------------------------------------------------------------------

#[test]
fn plaintext_is_answered_to_the_byte() {
    let (output, verdict) = answers_to(request_with("", "").as_bytes());
    let expected = "HTTP/1.1 200 OK\r\nServer: corepoll\r\n\
        Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain\r\n\
        Content-Length: 13\r\n\r\nHello, World!";
    assert_eq!((output.as_str(), verdict), (expected, Verdict::Keep));
}

#[test]
fn json_is_answered_to_the_byte() {
    let (output, verdict) = answers_to(b"GET /json HTTP/1.1\r\nHost: a\r\n\r\n");
    let expected = "HTTP/1.1 200 OK\r\nServer: corepoll\r\n\
        Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: application/json\r\n\
        Content-Length: 27\r\n\r\n{\"message\":\"Hello, World!\"}";
    assert_eq!((output.as_str(), verdict), (expected, Verdict::Keep));
}

#[test]
fn head_gets_the_same_fields_and_no_content() {
    for path in ["/plaintext", "/json", "/nothing"] {
        let get = answers_to(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).0;
        let head = answers_to(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).0;
        let end_of_fields = get.find("\r\n\r\n").expect("an empty line") + 4;
        assert_eq!(head, get[..end_of_fields]);
    }
}

#[test]
fn unknown_paths_are_not_found_and_known_ones_allow_two_methods() {
    assert_kept("GET / HTTP/1.1\r\nHost: a\r\n\r\n", &[404]);
    assert_kept("GET /plaintext/ HTTP/1.1\r\nHost: a\r\n\r\n", &[404]);
    assert_kept("POST /nothing HTTP/1.1\r\nHost: a\r\n\r\n", &[404]);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "BREW", "get"] {
        let request = format!("{method} /json HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_kept(&request, &[405]);
        assert!(answers_to(request.as_bytes()).0.contains("\r\nAllow: GET, HEAD\r\n"));
    }
}

#[test]
fn every_form_of_target_is_understood() {
    for target in [
        "/plaintext?",
        "/plaintext?a=b&c=/json?d",
        "http://example.org/plaintext",
        "HTTP://example.org:80/plaintext?query",
        "https://[::1]:443/plaintext",
    ] {
        assert_kept(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"), &[200]);
    }
    assert_kept("GET http://example.org HTTP/1.1\r\nHost: a\r\n\r\n", &[404]);
    assert_kept("GET http://example.org?/plaintext HTTP/1.1\r\nHost: a\r\n\r\n", &[404]);
    assert_kept("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", &[405]);
    assert_closed("CONNECT example.org:443 HTTP/1.1\r\nHost: a\r\n\r\nGET", &[405]);
    for target in ["*", "plaintext", "example.org:80", "ftp://a/plaintext", "http:///plaintext"] {
        assert_closed(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"), &[400]);
    }
}

#[test]
fn dates_are_right_across_leap_days_and_centuries() {
    let text = |seconds| format!("{:?}", DateField::at(seconds));
    assert_eq!(text(0), "Date: Thu, 01 Jan 1970 00:00:00 GMT");
    assert_eq!(text(SECONDS), "Date: Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(text(951_782_399), "Date: Mon, 28 Feb 2000 23:59:59 GMT");
    assert_eq!(text(951_782_400), "Date: Tue, 29 Feb 2000 00:00:00 GMT");
    assert_eq!(text(951_868_800), "Date: Wed, 01 Mar 2000 00:00:00 GMT");
    assert_eq!(text(1_709_251_199), "Date: Thu, 29 Feb 2024 23:59:59 GMT");
    assert_eq!(text(4_107_542_399), "Date: Sun, 28 Feb 2100 23:59:59 GMT");
    assert_eq!(text(4_107_542_400), "Date: Mon, 01 Mar 2100 00:00:00 GMT");
    assert_eq!(text(1_798_761_599), "Date: Thu, 31 Dec 2026 23:59:59 GMT");
}

// ---- how long a connection lives ----------------------------------------------------------------

#[test]
fn http_1_1_stays_unless_told_to_close() {
    assert_kept(request_with("Connection: keep-alive\r\n", ""), &[200]);
    assert_kept(request_with("Connection: closed, enclose\r\n", ""), &[200]);
    assert_closed(request_with("Connection: close\r\n", ""), &[200]);
    assert_closed(request_with("connection:Upgrade , CLOSE\r\n", ""), &[200]);
    assert_closed(request_with("Connection: keep-alive\r\nConnection: close\r\n", ""), &[200]);
}

#[test]
fn http_1_0_closes_unless_asked_to_stay() {
    assert_closed("GET /plaintext HTTP/1.0\r\n\r\n", &[200]);
    assert_closed("GET /plaintext HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", &[200]);
    let stays = "GET /plaintext HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n";
    assert_kept(stays, &[200]);
    assert!(answers_to(stays.as_bytes()).0.contains("\r\nConnection: keep-alive\r\n"));
}

#[test]
fn nothing_is_answered_after_the_last_answer() {
    let closing = request_with("Connection: close\r\n", "");
    assert_closed(closing + &request_with("", ""), &[200]);
    assert_closed(String::from("BAD\r\n\r\n") + &request_with("", ""), &[400]);
}

#[test]
fn winding_down_closes_an_idle_connection_at_once() {
    let date = DateField::at(SECONDS);
    for before in ["", &request_with("Content-Length: 1\r\n", "x")] {
        let mut connection = Connection::new();
        assert_eq!(connection.feed(before.as_bytes(), &date, &mut Vec::new()), Verdict::Keep);
        assert_eq!(connection.wind_down(), Verdict::Close);
        let mut output = Vec::new();
        let verdict = connection.feed(request_with("", "").as_bytes(), &date, &mut output);
        assert_eq!((output.len(), verdict), (0, Verdict::Close));
    }
}

#[test]
fn winding_down_lets_a_request_finish_as_the_last() {
    let date = DateField::at(SECONDS);
    let input = request_with("Content-Length: 3\r\n", "abc") + &request_with("", "");
    let end = input.find("abc").expect("a body") + 3;
    for cut in 1..end {
        let mut connection = Connection::new();
        let mut output = Vec::new();
        let (before, after) = input.as_bytes().split_at(cut);
        assert_eq!(connection.feed(before, &date, &mut output), Verdict::Keep);
        assert_eq!(connection.wind_down(), Verdict::Keep);
        assert_eq!(connection.feed(after, &date, &mut output), Verdict::Close);
        let output = String::from_utf8(output).expect("text");
        assert_eq!(statuses(&output), [200]);
        assert!(output.contains("\r\nConnection: close\r\n"), "{output}");
    }
}

// ---- pipelines -----------------------------------------------------------------------------------

#[test]
fn a_pipeline_is_answered_in_order_and_at_once() {
    let input = request_with("", "")
        + "GET /json HTTP/1.1\r\nHost: a\r\n\r\n"
        + "HEAD /json HTTP/1.1\r\nHost: a\r\n\r\n"
        + "POST /json HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nGET "
        + "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n"
        + &request_with("", "");
    assert_kept(&input, &[200, 200, 200, 405, 404, 200]);
}

#[test]
fn answers_before_a_malformed_request_are_still_given() {
    assert_closed(
        request_with("", "") + "GET /plaintext HTTP/1.1\r\nHost : a\r\n\r\n",
        &[200, 400],
    );
}

#[test]
fn an_unfinished_request_is_not_answered() {
    let input = request_with("Content-Length: 3\r\n", "ab");
    assert_kept(&input, &[]);
    assert_kept(&input[..40], &[]);
}

#[test]
fn empty_lines_before_a_request_are_ignored() {
    assert_kept(String::from("\r\n\r\n") + &request_with("", ""), &[200]);
    assert_closed(String::from("\n") + &request_with("", ""), &[400]);
}

#[test]
fn a_connection_whose_requests_come_whole_holds_no_memory() {
    let input = request_with("Content-Length: 3\r\n", "abc").repeat(3);
    let mut connection = Connection::new();
    let mut output = Vec::with_capacity(4096);
    let verdict = connection.feed(input.as_bytes(), &DateField::at(SECONDS), &mut output);
    assert_eq!(verdict, Verdict::Keep);
    assert!(format!("{connection:?}").contains("carry: []"));
}

// ---- malformed requests --------------------------------------------------------------------------

#[test]
fn malformed_request_lines_are_refused() {
    for line in [
        "GET",
        "GET /plaintext",
        "GET  /plaintext HTTP/1.1",
        "GET /plaintext  HTTP/1.1",
        "GET /plain text HTTP/1.1",
        "GET /plaintext HTTP/1.1 ",
        "GET /plaintext HTTP/2.0",
        "GET /plaintext HTTP/1.10",
        "GET /plaintext http/1.1",
        " GET /plaintext HTTP/1.1",
        "G(T /plaintext HTTP/1.1",
        "GET /plain\u{1}text HTTP/1.1",
        "PRI * HTTP/2.0",
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\u{fc}\u{3}\u{3}",
    ] {
        assert_closed(format!("{line}\r\nHost: a\r\n\r\n"), &[400]);
    }
}

#[test]
fn malformed_fields_are_refused() {
    for field in [
        "Name : value",
        " Name: value",
        "Name",
        ": value",
        "Na me: value",
        "Na\"me: value",
        "Name: value\r\n folded",
        "Name: value\r\n\tfolded",
        "Name: va\rlue",
        "Name: va\0lue",
        "Name: va\u{7f}lue",
    ] {
        assert_closed(request_with(&format!("{field}\r\n"), ""), &[400]);
    }
}

#[test]
fn lines_that_end_in_lf_alone_are_refused() {
    assert_closed("GET /plaintext HTTP/1.1\nHost: a\r\n\r\n", &[400]);
    assert_closed("GET /plaintext HTTP/1.1\r\nHost: a\n\r\n", &[400]);
    assert_closed("GET /plaintext HTTP/1.1\r\nHost: a\r\n\n", &[400]);
    assert_closed("GET /plaintext HTTP/1.1\r\nHost: a\r\nA: \nB: c\r\n\r\n", &[400]);
}

#[test]
fn http_1_1_has_one_host_and_http_1_0_no_more_than_one() {
    assert_closed("GET /plaintext HTTP/1.1\r\n\r\n", &[400]);
    assert_closed(request_with("Host: a\r\n", ""), &[400]);
    assert_closed("GET /plaintext HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", &[400]);
    assert_closed("GET http://a/plaintext HTTP/1.1\r\n\r\n", &[400]);
    for host in ["", "a", "127.0.0.1:8080", "[::1]:80", "ex-ample.org", "%41"] {
        assert_kept(format!("GET /plaintext HTTP/1.1\r\nHost: {host}\r\n\r\n"), &[200]);
    }
    for host in ["a b", "a/b", "user@a", "a#b", "a?b", "a\\b", "\u{e4}"] {
        assert_closed(format!("GET /plaintext HTTP/1.1\r\nHost: {host}\r\n\r\n"), &[400]);
    }
}

// ---- limits ----------------------------------------------------------------------------------------

#[test]
fn a_head_of_exactly_the_limit_is_read_and_a_longer_one_refused() {
    let padded = |length: usize| {
        let empty = request_with("Padding: \r\n", "").len();
        request_with(&format!("Padding: {}\r\n", "x".repeat(length - empty)), "")
    };
    assert_kept(padded(HEAD_LIMIT), &[200]);
    assert_closed(padded(HEAD_LIMIT + 1), &[431]);
    assert_closed(padded(3 * HEAD_LIMIT), &[431]);
}

#[test]
fn a_head_without_end_is_refused_as_soon_as_it_passes_the_limit() {
    let endless = format!("GET / HTTP/1.1\r\nHost: a\r\nPadding: {}", "x".repeat(HEAD_LIMIT));
    assert_kept(&endless[..HEAD_LIMIT - 1], &[]);
    assert_closed(&endless[..HEAD_LIMIT], &[431]);
    assert_closed(format!("GET /{}", "x".repeat(HEAD_LIMIT)), &[414]);
}

#[test]
fn too_many_fields_are_refused() {
    assert_kept(request_with(&"A: b\r\n".repeat(99), ""), &[200]);
    assert_closed(request_with(&"A: b\r\n".repeat(100), ""), &[431]);
}

// ---- bodies ----------------------------------------------------------------------------------------

#[test]
fn bodies_with_a_length_are_skipped() {
    let disguised = "GET /json HTTP/1.1\r\nHost: a\r\n\r\n";
    let length = format!("Content-Length: {}\r\n", disguised.len());
    assert_kept(request_with(&length, disguised) + &request_with("", ""), &[200, 200]);
    assert_kept(request_with("Content-Length: 0\r\n", "") + &request_with("", ""), &[200, 200]);
    assert_kept(request_with("Content-Length: 0003\r\n", "abc"), &[200]);
    let huge = request_with(&format!("Content-Length: {}\r\n", u64::MAX), "abc");
    assert_kept(huge, &[]);
}

#[test]
fn lengths_that_are_not_one_plain_number_are_refused() {
    for length in ["", "-1", "+1", "1 2", "0x1", "1.0", "1,1", "1, 1", "a", "18446744073709551616"]
    {
        assert_closed(request_with(&format!("Content-Length: {length}\r\n"), "a"), &[400]);
    }
}

#[test]
fn conflicting_lengths_are_refused() {
    for fields in [
        "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Content-Length: 1\r\nContent-Length: 1\r\n",
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    ] {
        assert_closed(request_with(fields, "0\r\n\r\n"), &[400]);
    }
}

#[test]
fn transfer_codings_other_than_chunked_are_refused() {
    for coding in
        ["", "gzip", "gzip, chunked", "chunked, chunked", "identity", "chunked;a", "xchunked"]
    {
        let fields = format!("Transfer-Encoding: {coding}\r\n");
        assert_closed(request_with(&fields, "0\r\n\r\n"), &[400]);
    }
    let old = "GET /plaintext HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_closed(old, &[400]);
}

#[test]
fn chunked_bodies_are_skipped() {
    for body in [
        "0\r\n\r\n",
        "000\r\n\r\n",
        "3\r\nabc\r\n0\r\n\r\n",
        "1\r\na\r\nA\r\n0123456789\r\n00b\r\n0\r\n\r\n0\r\n\r\nX\r\n0\r\n\r\n",
        "1\r\na\r\n0000000000000002\r\nbc\r\n0000000000000000\r\n\r\n",
        "3;name=value;other=\"quoted; text\"\r\nabc\r\n0;last\r\n\r\n",
        "3 \t;name\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc\r\n0\r\nTrailer: value\r\nEmpty:\r\n\r\n",
    ] {
        assert_kept(chunked_then_plain(body), &[200, 200]);
    }
    assert_kept(request_with("Transfer-Encoding: CHUNKED\r\n", "0\r\n\r\n"), &[200]);
    assert_kept(request_with("Transfer-Encoding: chunked\r\n", "ffffffffffffffff\r\nabc"), &[]);
}

#[test]
fn malformed_chunks_are_refused_and_nothing_else_is_answered() {
    // Each is whole but for its fault, so that a server which overlooks the fault answers with a 200.
    for body in [
        "\r\n\r\n",
        "g\r\nabc\r\n0\r\n\r\n",
        "-0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        " 3\r\nabc\r\n0\r\n\r\n",
        "3 \r\nabc\r\n0\r\n\r\n",
        "0 3\r\nabc\r\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabc0\r\n\r\n",
        "3\rabc\r\n0\r\n\r\n",
        "3;a\nb\r\nabc\r\n0\r\n\r\n",
        "3;a\0b\r\nabc\r\n0\r\n\r\n",
        "3;a\rb\r\nabc\r\n0\r\n\r\n",
        "10000000000000003\r\nabc\r\n0\r\n\r\n",
        "00000000000000003\r\nabc\r\n0\r\n\r\n",
        "0\r\n\n",
        "0\n\r\n",
        "0\r\nA: b\r\n folded\r\n\r\n",
        "0\r\nName : value\r\n\r\n",
        "0\r\nName\r\n\r\n",
        "0\r\n: value\r\n\r\n",
        "0\r\nName: value\n\r\n",
        "0\r\nName: va\0lue\r\n\r\n",
        "0\r\nName: va\rlue\r\n\r\n",
    ] {
        assert_closed(chunked_then_plain(body), &[400]);
    }
}

#[test]
fn lines_of_a_chunked_body_have_limits() {
    let extended = |length| format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(length));
    assert_kept(chunked_then_plain(&extended(1000)), &[200, 200]);
    assert_closed(chunked_then_plain(&extended(1024)), &[400]);
    let trailed = |count| format!("0\r\n{}\r\n", "Trailer: value\r\n".repeat(count));
    assert_kept(chunked_then_plain(&trailed(500)), &[200, 200]);
    assert_closed(chunked_then_plain(&trailed(520)), &[431]);
    // Each line is short, and together they are long: that is fine.
    assert_kept(chunked_then_plain(&("1;x\r\na\r\n".repeat(2000) + "0\r\n\r\n")), &[200, 200]);
}

#[test]
fn a_size_line_and_a_trailer_section_of_exactly_their_limit_are_read() {
    let line = |length: usize| format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(length - 4));
    assert_kept(chunked_then_plain(&line(1024)), &[200, 200]);
    assert_closed(chunked_then_plain(&line(1025)), &[400]);
    let trailer = |length: usize| format!("0\r\nA: {}\r\n\r\n", "x".repeat(length - 7));
    assert_kept(chunked_then_plain(&trailer(HEAD_LIMIT)), &[200, 200]);
    assert_closed(chunked_then_plain(&trailer(HEAD_LIMIT + 1)), &[431]);
}

#[test]
fn a_client_that_expects_a_continue_gets_one_before_the_body() {
    let head = request_with("Expect: 100-Continue\r\nContent-Length: 3\r\n", "");
    assert_kept(&head, &[100]);
    assert_kept(head + "abc", &[100, 200]);
    let empty = request_with("Expect: 100-continue\r\nContent-Length: 0\r\n", "");
    assert_kept(empty, &[200]);
    let old = "GET /plaintext HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc";
    assert_closed(old, &[200]);
}

#[test]
fn a_client_that_expects_a_no_gets_it_before_the_body() {
    let fields = "Host: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    assert_closed(format!("POST /plaintext HTTP/1.1\r\n{fields}"), &[405]);
    assert_closed(format!("GET /nothing HTTP/1.1\r\n{fields}abc"), &[404]);
}

// ---- properties -------------------------------------------------------------------------------------

/// Pieces of requests, good and bad, that make states of every kind.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let fixed = prop::sample::select(vec![
        "GET /plaintext HTTP/1.1\r\nHost: a\r\n\r\n",
        "HEAD /json HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /json HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nT: v\r\n\r\n",
        "PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde",
        "GET /json HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab",
        "GET /json HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        "\r\n",
    ]);
    let valid = fixed.prop_map(|text| text.as_bytes().to_vec());
    let noise = prop::collection::vec(any::<u8>(), 0..4);
    prop_oneof![8 => valid, 1 => noise]
}

/// A client whose time is up is told so if it is in the middle of a request, and nothing more is read.
#[test]
fn a_request_that_is_not_whole_in_time_is_refused() {
    let date = DateField::at(SECONDS);
    let whole = "GET /json HTTP/1.1\r\nHost: a\r\n\r\n";
    let body = "POST /json HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc";
    for (input, answers, makes_progress) in [
        (String::new(), vec![], false),
        (whole.to_owned(), vec![200], true),
        ("GET /json HTT".to_owned(), vec![408], false),
        (body.to_owned(), vec![408], false),
        (format!("{whole}GET"), vec![200, 408], true),
        ("nonsense\r\n\r\n".to_owned(), vec![400], false),
    ] {
        let (mut connection, mut output) = (Connection::new(), Vec::new());
        let _ = connection.feed(input.as_bytes(), &date, &mut output);
        assert_eq!(connection.is_making_progress(), makes_progress, "{input:?}");
        assert!(!connection.is_making_progress(), "asked again");
        assert_eq!(connection.time_out(&date, &mut output), Verdict::Close);
        assert_eq!(connection.feed(whole.as_bytes(), &date, &mut output), Verdict::Close);
        let output = String::from_utf8(output).expect("answers are text");
        assert_eq!(statuses(&output), answers, "{input:?}");
    }
}

proptest! {
    #[test]
    fn any_cut_of_any_input_gets_the_same_answers(
        pieces in prop::collection::vec(piece(), 0..12),
        sizes in prop::collection::vec(1..80_usize, 1..40),
    ) {
        let input = pieces.concat();
        let mut rest = input.as_slice();
        let mut chunks = Vec::new();
        for size in sizes.iter().cycle() {
            let (chunk, after) = rest.split_at(rest.len().min(*size));
            chunks.push(chunk);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(feed_chunks([input.as_slice()]), feed_chunks(chunks));
    }

    #[test]
    fn noise_never_panics_and_a_close_is_final(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        let (output, verdict) = feed_chunks([noise.as_slice()]);
        let followed = [noise.as_slice(), b"GET /json HTTP/1.1\r\nHost: a\r\n\r\n"];
        if verdict == Verdict::Close {
            prop_assert_eq!(feed_chunks(followed), (output, Verdict::Close));
        }
    }
}
