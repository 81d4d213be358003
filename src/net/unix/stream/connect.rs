//! Attempt to a Unix socket, for tasks.

use std::io;
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::local::state::Local;
use crate::net::addr::to_socket_addrs::with_address;
use crate::net::addr::unix::{name, of_path, shown, to_kernel};
use crate::net::unix::stream::UnixStream;
use crate::sys::socket;
use crate::task::coop;
use crate::time;

/// How long it is until a connect is tried again when the listener's backlog is full, at first:
/// the kernel doesn't tell when it has room again.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
/// And after a while.
const LONGEST_PAUSE: Duration = Duration::from_millis(64);

impl UnixStream {
    /// Connects to the socket at `path`; one that begins with a NUL is a name of the abstract
    /// namespace. While the listener's backlog is full, it waits.
    ///
    /// Cancel-safe: dropping it closes what was begun.
    ///
    /// ```
    /// # use corepoll::net::{UnixListener, UnixStream};
    /// # corepoll::block_on(async {
    /// # let path = std::env::temp_dir().join(format!("corepoll-doc-stream-{}", std::process::id()));
    /// let listener = UnixListener::bind(&path)?;
    /// let stream = UnixStream::connect(&path).await?;
    /// assert_eq!(stream.peer_addr()?.as_pathname(), Some(&*path));
    /// # drop(listener);
    /// # std::fs::remove_file(&path)?;
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `NotFound`: there is no file; `ConnectionRefused`: nobody listens; and others of connect(2).
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<UnixStream> {
        let path = path.as_ref();
        let address =
            of_path(path).map_err(|error| with_address("connecting to", shown(path), error))?;
        UnixStream::connect_addr(&address).await
    }

    /// Connects to `address`, which may be one of the abstract namespace. While the listener's
    /// backlog is full, it waits.
    ///
    /// Cancel-safe: dropping it closes what was begun.
    ///
    /// ```
    /// # use corepoll::net::{UnixListener, UnixStream};
    /// # use std::os::linux::net::SocketAddrExt;
    /// # use std::os::unix::net::SocketAddr;
    /// # corepoll::block_on(async {
    /// # let name = format!("corepoll-doc-stream-{}", std::process::id());
    /// let address = SocketAddr::from_abstract_name(name)?;
    /// let listener = UnixListener::bind_addr(&address)?;
    /// let stream = UnixStream::connect_addr(&address).await?;
    /// # drop((listener, stream));
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// connect(2)'s.
    pub async fn connect_addr(address: &SocketAddr) -> io::Result<UnixStream> {
        let connected = UnixStream::connect_at(address).await;
        connected.map_err(|error| with_address("connecting to", name(address), error))
    }

    async fn connect_at(address: &SocketAddr) -> io::Result<UnixStream> {
        coop::proceed().await;
        let address = to_kernel(address)?;
        let mut pause = SHORTEST_PAUSE;
        loop {
            match socket::connect(&address, &socket::Connect::default()) {
                Ok(fd) => return UnixStream::from_fd(fd, "UnixStream::connect"),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    Local::expect_current("UnixStream::connect")?;
                    time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
    }
}
