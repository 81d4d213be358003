//! What an address names, where a connection for a handler or a pool is to be made.

use std::io;
use std::net::Ipv4Addr;

use crate::base::token::Token;
use crate::connection::connect;
use crate::local::attempt::{Place, Recipient, Target};
use crate::local::state::Local;
use crate::net::addr::stream_addr::StreamAddr;
use crate::net::addr::to_socket_addrs::{Addresses, sealed::Sealed};
use crate::net::addr::unix::to_kernel;
use crate::net::connect::options::ConnectOptions;

/// What `addr` names, and how to connect to it.
pub(crate) fn target(
    addr: &(impl Sealed + ?Sized),
    options: &ConnectOptions,
) -> io::Result<Target> {
    let other = addr.text().map(StreamAddr::parse_other).transpose()?.flatten();
    let (name, place) = match (addr.text(), other) {
        (Some(text), Some(StreamAddr::Unix(address))) => {
            (text.into(), Place::Unix(to_kernel(&address)?))
        }
        // This machine, by whichever family it is that listens.
        (Some(text), Some(StreamAddr::Ip(address))) => {
            let other = (Ipv4Addr::UNSPECIFIED, address.port()).into();
            (text.into(), Place::Ip(vec![address, other]))
        }
        (text, _) => {
            let addresses = addr.addresses()?;
            let name = text.map_or_else(|| addresses.to_string().into(), Box::from);
            (name, place(addresses)?)
        }
    };
    Ok(Target { name, place, settings: options.settings.clone(), limit: options.timeout })
}

fn place(addresses: Addresses) -> io::Result<Place> {
    match addresses {
        #[cfg(feature = "blocking")]
        Addresses::Name(host, port) => Ok(Place::Host(host, port)),
        known => known.known().map(Place::Ip),
    }
}

/// Begins to connect, with the look-up of the name if the target has one.
pub(crate) fn begin(local: &Local, target: Target, recipient: Recipient) -> Token {
    #[cfg(feature = "blocking")]
    if let Place::Host(host, port) = &target.place {
        let (host, port) = (host.clone(), *port);
        let token = connect::begin(local, target, recipient);
        crate::net::addr::lookup::look_up_for(local, token, host, port);
        return token;
    }
    connect::begin(local, target, recipient)
}
