//! What the sockets of `net` have in common with std's: their descriptors, and how one becomes the
//! other.
//!
//! std's types are how sockets come from and go to other libraries. What comes from there may have
//! duplicates, and what is lent may get some, so that both count as exposed from then on.

/// Implements the traits of descriptors and `Debug` for the socket `$socket`, and its conversion
/// from std's socket `$std`.
macro_rules! std_types {
    ($socket:ident, $std:ty) => {
        impl AsFd for $socket {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.socket.lend()
            }
        }

        impl AsRawFd for $socket {
            fn as_raw_fd(&self) -> RawFd {
                self.as_fd().as_raw_fd()
            }
        }

        impl TryFrom<$std> for $socket {
            type Error = io::Error;

            #[doc = concat!("Takes over a socket of std: see [`", stringify!($socket), "::from_std`].")]
            fn try_from(socket: $std) -> io::Result<$socket> {
                $socket::from_std(socket)
            }
        }

        impl fmt::Debug for $socket {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.socket.describe(stringify!($socket), f)
            }
        }
    };
}

/// Implements the conversion of the socket `$socket` into its descriptor. A TCP stream has one that
/// can fail: it may carry the output of a handler.
macro_rules! into_owned_fd {
    ($socket:ident) => {
        impl From<$socket> for OwnedFd {
            /// Ends the registration. The descriptor stays non-blocking.
            fn from(socket: $socket) -> OwnedFd {
                socket.socket.into_fd().into()
            }
        }
    };
}

pub(crate) use into_owned_fd;
pub(crate) use std_types;
