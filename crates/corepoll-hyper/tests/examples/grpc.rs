//! The example `grpc`: the server, asked by its own client. tests/interop asks it by Python's grpcio.

use std::process::Output;

use crate::support::{Server, command};

fn ask(server: &Server, name: &str) -> Output {
    let uri = format!("http://{}", server.address());
    let arguments = ["--ask", &uri, "--name", name, "--times", "3"];
    command("grpc").args(arguments).output().expect("runs")
}

#[test]
fn the_client_prints_what_the_server_says() {
    let server = Server::start("grpc", &[]);
    let output = ask(&server, "Ada");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    // One of the unary call, and three of the stream.
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Hello, Ada!\n".repeat(4));
    server.signal("TERM");
    assert_eq!(server.wait().0.code(), Some(0));
}

#[test]
fn an_error_of_the_server_is_that_of_the_client() {
    let server = Server::start("grpc", &[]);
    let output = ask(&server, "");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("a name is missing"), "{message}");
}

#[test]
fn a_server_that_is_not_there_is_said() {
    let output = command("grpc").args(["--ask", "http://127.0.0.1:1"]).output().expect("runs");
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("refused"), "{message}");
}
