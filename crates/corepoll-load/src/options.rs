//! The options of the command line, and the target that they name.

use std::net::{SocketAddr, ToSocketAddrs};
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use http::Uri;

/// Loads a server, and reports rates, latencies and errors.
///
/// Without --rate, each connection sends its next request when an answer has come. With it, requests are
/// sent at a constant rate, and a latency counts from the time at which its request was to be sent: a
/// server that stalls can't hide the requests that it held up.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Options {
    /// The server: http://HOST:PORT/PATH, https://HOST:PORT/PATH, or tcp://HOST:PORT for one that echoes
    pub target: Uri,
    /// What to do; http and echo follow from the target
    #[arg(long)]
    pub mode: Option<Mode>,
    /// How many connections to hold at once
    #[arg(short, long, default_value = "64")]
    pub connections: NonZeroUsize,
    /// How many pollers, a thread each [default: one for each processor]
    #[arg(short, long)]
    pub pollers: Option<NonZeroUsize>,
    /// How long to load the server, after the connections are made
    #[arg(short, long, default_value = "10s", value_parser = humantime::parse_duration)]
    pub duration: Duration,
    /// End when so many requests are answered, if that is before the duration ends
    #[arg(long, value_name = "COUNT")]
    pub requests: Option<NonZeroU64>,
    /// Say "ready" on stderr when the connections are made, and begin at a line on stdin
    #[arg(long)]
    pub wait: bool,
    /// Requests a second, over all connections
    #[arg(short, long)]
    pub rate: Option<NonZeroU64>,
    /// How many requests of a connection may be unanswered
    #[arg(long, default_value = "1")]
    pub pipeline: NonZeroUsize,
    /// The bytes of a message to an echo server
    #[arg(long, default_value = "64")]
    pub size: NonZeroUsize,
    /// A header field to send along, as "Name: value"; may be repeated
    #[arg(short = 'H', long = "header")]
    pub headers: Vec<String>,
    /// How long to wait for a connection, and for an answer
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
    /// An address to connect from; may be repeated, the connections take turns
    #[arg(long)]
    pub source: Vec<std::net::IpAddr>,
    /// Speak TLS; follows from https://
    #[arg(long)]
    pub tls: bool,
    /// Accept whatever certificate the server has
    #[arg(long, conflicts_with = "ca")]
    pub insecure: bool,
    /// Trust the certificates of this PEM file, and not the system's
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// The name that the server has to prove [default: the target's host]
    #[arg(long, value_name = "NAME")]
    pub server_name: Option<String>,
    /// Print the results as JSON
    #[arg(long)]
    pub json: bool,
    /// Draw the latencies into this file
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Print no progress
    #[arg(short, long)]
    pub quiet: bool,
}

/// What the connections do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Requests over connections that are kept
    Http,
    /// Messages that come back, over connections that are kept
    Echo,
    /// A connection for each request
    Churn,
    /// One request on each connection, which is then held
    Idle,
}

/// What is said over the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http,
    /// A message, which comes back.
    Echo,
}

impl Options {
    /// Returns how many pollers to start.
    pub fn poller_count(&self) -> usize {
        let all = || available_parallelism().map_or(1, NonZeroUsize::get);
        // A poller without a connection has nothing to do.
        self.pollers.map_or_else(all, NonZeroUsize::get).min(self.connections.get())
    }

    /// Returns the protocol of the target, and what to do with it.
    ///
    /// # Errors
    ///
    /// Returns a sentence for a target with an unknown scheme, or one that the mode can't load.
    pub fn protocol_and_mode(&self) -> Result<(Protocol, Mode), String> {
        let (protocol, own) = match self.target.scheme_str() {
            Some("http" | "https") => (Protocol::Http, Mode::Http),
            Some("tcp") => (Protocol::Echo, Mode::Echo),
            _ => {
                let text = "a target begins with http://, https:// or tcp://";
                return Err(format!("{}: {text}", self.target));
            }
        };
        match self.mode.unwrap_or(own) {
            Mode::Http if protocol != Protocol::Http => {
                Err(format!("{}: --mode http asks for a target of http://", self.target))
            }
            Mode::Echo if protocol != Protocol::Echo => {
                Err(format!("{}: --mode echo asks for a target of tcp://", self.target))
            }
            mode => Ok((protocol, mode)),
        }
    }

    /// Returns `true` if TLS is asked for.
    pub fn has_tls(&self) -> bool {
        self.tls || self.target.scheme_str() == Some("https")
    }

    /// Returns the target's host. An address of IPv6 is without its brackets.
    pub fn host(&self) -> &str {
        let host = self.target.host().unwrap_or_default();
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Returns the addresses of the target's host.
    ///
    /// # Errors
    ///
    /// Returns a sentence if the host has none.
    pub fn addresses(&self) -> Result<Vec<SocketAddr>, String> {
        let host = self.host();
        let port = match (self.target.port_u16(), self.target.scheme_str()) {
            (Some(port), _) => port,
            (None, Some("http" | "https")) if self.has_tls() => 443,
            (None, Some("http")) => 80,
            (None, _) => return Err(format!("{}: which port?", self.target)),
        };
        let addresses: Vec<SocketAddr> = (host, port)
            .to_socket_addrs()
            .map_err(|error| format!("looking up {host}: {error}"))?
            .collect();
        if addresses.is_empty() { Err(format!("{host} has no address")) } else { Ok(addresses) }
    }

    /// Returns the bytes of a request.
    ///
    /// # Errors
    ///
    /// Returns a sentence for a header field that is none.
    pub fn request(&self, protocol: Protocol, mode: Mode) -> Result<Vec<u8>, String> {
        if protocol == Protocol::Echo {
            return Ok((0..self.size.get()).map(|index| b'a' + (index % 26) as u8).collect());
        }
        let path = self.target.path_and_query().map_or("/", |path| path.as_str());
        let mut head = format!("GET {path} HTTP/1.1\r\n");
        let named = |name: &str| {
            self.headers.iter().any(|field| {
                field.split(':').next().is_some_and(|own| own.eq_ignore_ascii_case(name))
            })
        };
        if !named("host") {
            let authority = self.target.authority().map_or("", |authority| authority.as_str());
            let host = authority.rsplit('@').next().unwrap_or_default();
            head += &format!("Host: {host}\r\n");
        }
        if mode == Mode::Churn && !named("connection") {
            head += "Connection: close\r\n";
        }
        for field in &self.headers {
            let (name, value) = field.split_once(':').ok_or(format!("{field:?}: no colon"))?;
            let name: http::HeaderName =
                name.trim().parse().map_err(|error| format!("{field:?}: {error}"))?;
            let value: http::HeaderValue =
                value.trim().parse().map_err(|error| format!("{field:?}: {error}"))?;
            let value = value.to_str().map_err(|error| format!("{field:?}: {error}"))?;
            head += &format!("{name}: {value}\r\n");
        }
        Ok((head + "\r\n").into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(arguments: &[&str]) -> Options {
        let all = ["corepoll-load"].iter().chain(arguments);
        Options::try_parse_from(all).expect("good options")
    }

    #[test]
    fn the_target_says_what_to_do() {
        let http = options(&["http://127.0.0.1:8080/path?query"]);
        assert_eq!(http.protocol_and_mode(), Ok((Protocol::Http, Mode::Http)));
        assert_eq!(http.addresses(), Ok(vec!["127.0.0.1:8080".parse().unwrap()]));
        let echo = options(&["tcp://[::1]:7000", "--mode", "churn"]);
        assert_eq!(echo.protocol_and_mode(), Ok((Protocol::Echo, Mode::Churn)));
        assert_eq!(echo.addresses(), Ok(vec!["[::1]:7000".parse().unwrap()]));
        let port = options(&["http://127.0.0.1"]).addresses();
        assert_eq!(port, Ok(vec!["127.0.0.1:80".parse().unwrap()]));
        for secured in [&["https://127.0.0.1"][..], &["http://127.0.0.1", "--tls"]] {
            let secured = options(secured);
            assert_eq!(secured.addresses(), Ok(vec!["127.0.0.1:443".parse().unwrap()]));
            assert!(secured.has_tls());
        }
        assert!(!http.has_tls());
        for wrong in [
            &["ftp://127.0.0.1:1"][..],
            &["127.0.0.1:1"],
            &["tcp://127.0.0.1:1", "--mode", "http"],
            &["http://127.0.0.1:1", "--mode", "echo"],
        ] {
            options(wrong).protocol_and_mode().expect_err("it can't be loaded");
        }
        options(&["tcp://127.0.0.1"]).addresses().expect_err("no port");
    }

    #[test]
    fn a_request_has_the_fields_that_are_asked_for() {
        let request = |arguments: &[&str], mode| {
            let bytes = options(arguments).request(Protocol::Http, mode);
            bytes.map(|bytes| String::from_utf8(bytes).expect("text"))
        };
        let target = "http://host:81/a?b=c";
        assert_eq!(
            request(&[target, "-H", "X-Test:  1 "], Mode::Http).unwrap(),
            "GET /a?b=c HTTP/1.1\r\nHost: host:81\r\nx-test: 1\r\n\r\n"
        );
        // RFC 9110, section 7.2: the host and the port alone.
        assert_eq!(
            request(&["http://me:secret@[::1]:81"], Mode::Http).unwrap(),
            "GET / HTTP/1.1\r\nHost: [::1]:81\r\n\r\n"
        );
        assert_eq!(
            request(&[target, "-H", "host: other"], Mode::Churn).unwrap(),
            "GET /a?b=c HTTP/1.1\r\nConnection: close\r\nhost: other\r\n\r\n"
        );
        request(&[target, "-H", "no colon"], Mode::Http).expect_err("no field");
        request(&[target, "-H", "X: a\r\nY: b"], Mode::Http).expect_err("two fields");
    }
}
