//! A server as a command line: of this build, or any other program.

use std::net::SocketAddr;
use std::process::Command;

use crate::args::{Error, failure};
use crate::driver::process;
use crate::peers::Peer;
use crate::protocol::Kind;

/// A server that can be started.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// The name in tables.
    pub(super) name: String,
    how: How,
}

#[derive(Clone, Debug)]
enum How {
    /// This program in the role of a server.
    Peer(Peer),
    /// A command for the shell, with places to fill in.
    Command(String),
}

/// What a server is to serve.
#[derive(Clone, Copy, Debug)]
pub(super) struct Service {
    pub(super) protocol: Kind,
    /// How many loops it is to have.
    pub(super) threads: usize,
}

impl Candidate {
    pub(super) fn of_peer(peer: Peer) -> Candidate {
        Candidate { name: peer.name().to_owned(), how: How::Peer(peer) }
    }

    /// Reads `NAME=COMMAND`.
    pub(super) fn parse(text: &str) -> Result<Candidate, Error> {
        match text.split_once('=') {
            Some((name, command)) if !name.trim().is_empty() && !command.trim().is_empty() => {
                let how = How::Command(command.trim().to_owned());
                Ok(Candidate { name: name.trim().to_owned(), how })
            }
            _ => Err(failure(format!("{text:?}: a server is NAME=COMMAND"))),
        }
    }

    /// Returns `true` if the server can be told to serve that.
    pub(super) fn can_serve(&self, service: Service) -> bool {
        match &self.how {
            How::Peer(_) => true,
            How::Command(command) => {
                (service.protocol == Kind::Plaintext || command.contains("{protocol}"))
                    && (service.threads == 1 || command.contains("{threads}"))
            }
        }
    }

    /// Returns the command that serves at `addr`.
    pub(super) fn command(&self, service: Service, addr: SocketAddr) -> Result<Command, Error> {
        match &self.how {
            How::Peer(peer) => {
                let mut command = process::command(&[])?;
                command.args(["server", "--peer", peer.name()]);
                command.args(["--protocol", service.protocol.name()]);
                command.args(["--addr", &addr.to_string()]);
                command.args(["--threads", &service.threads.to_string()]);
                Ok(command)
            }
            How::Command(template) => {
                let mut command = Command::new("sh");
                // The shell is replaced, so that signals go to the server itself; env takes variables.
                command.args(["-c", &format!("exec env {}", filled(template, service, addr))]);
                Ok(command)
            }
        }
    }
}

fn filled(template: &str, service: Service, addr: SocketAddr) -> String {
    template
        .replace("{addr}", &addr.to_string())
        .replace("{ip}", &addr.ip().to_string())
        .replace("{port}", &addr.port().to_string())
        .replace("{threads}", &service.threads.to_string())
        .replace("{protocol}", service.protocol.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_places_of_a_command_are_filled_in() {
        let service = Service { protocol: Kind::Echo, threads: 2 };
        let addr = "127.0.0.1:7000".parse().unwrap();
        let text = filled("a {addr} {ip} -p {port} -t {threads} --{protocol}", service, addr);
        assert_eq!(text, "a 127.0.0.1:7000 127.0.0.1 -p 7000 -t 2 --echo");
    }

    #[test]
    fn a_command_serves_what_it_can_be_told_to() {
        let can = |command: &str, protocol, threads| {
            Candidate::parse(command).unwrap().can_serve(Service { protocol, threads })
        };
        assert!(can("a=nginx {port}", Kind::Plaintext, 1));
        assert!(!can("a=nginx {port}", Kind::Plaintext, 2));
        assert!(!can("a=nginx {port}", Kind::Echo, 1));
        assert!(can("a=go {protocol} {threads}", Kind::Echo, 2));
        // What is behind the first equals sign is the command.
        assert!(can("a=GOMAXPROCS={threads} go", Kind::Plaintext, 2));
    }
}
