//! From an address that the caller gave to an attempt to connect, for a handler or for a pool.
//!
//! This is the last floor that knows names and text: `connection/connect` gets addresses of the
//! kernel, or a host name that is being looked up.

use std::io;
use std::net::Ipv4Addr;

use crate::base::token::Token;
use crate::connection::connect;
use crate::local::attempt::{Place, Recipient, Target};
use crate::local::state::Local;
use crate::net::addr::to_socket_addrs::Addresses;
use crate::net::addr::to_stream_addr::{Requested, StreamAddr, any_address};
use crate::net::addr::unix;
use crate::net::connect::options::ConnectOptions;

#[cfg(not(feature = "blocking"))]
use crate::net::addr::lookup;

/// Returns what `addr` names, and how to connect to it.
///
/// # Errors
///
/// The address is malformed, the list of addresses is empty, or it is a host name and the feature
/// `blocking` is off.
pub(crate) fn parse(addr: &Requested, options: &ConnectOptions) -> io::Result<Target> {
    let place = match addr.parse()? {
        StreamAddr::Unix(address) => Place::Unix(unix::to_kernel(&address)?),
        // This machine. Both are tried: the listener may be one for IPv4 alone.
        StreamAddr::Port(port) => {
            Place::Ip(vec![any_address(port), (Ipv4Addr::UNSPECIFIED, port).into()])
        }
        #[cfg(feature = "blocking")]
        StreamAddr::Ip(Addresses::Name(host, port)) => Place::Host(host, port),
        #[cfg(not(feature = "blocking"))]
        StreamAddr::Ip(Addresses::Name(host, port)) => return Err(lookup::no_threads(&host, port)),
        StreamAddr::Ip(addresses) => Place::Ip(addresses.known()?),
    };
    let name = addr.to_string().into();
    Ok(Target { name, place, settings: options.settings.clone(), limit: options.timeout })
}

/// Begins to connect. If the target is a host name, it is looked up first, on another thread.
pub(crate) fn connect(local: &Local, target: Target, recipient: Recipient) -> Token {
    #[cfg(feature = "blocking")]
    if let Place::Host(host, port) = &target.place {
        let (host, port) = (host.clone(), *port);
        // Begun before the look-up: the attempt has its token and its time limit from here on, and
        // the addresses are added when they come.
        let token = connect::begin(local, target, recipient);
        crate::net::addr::lookup::look_up_for(local, token, host, port);
        return token;
    }
    connect::begin(local, target, recipient)
}
