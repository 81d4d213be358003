//! Connecting to a Unix socket, for tasks.
//!
//! Such a connect succeeds or fails at once: the kernel joins the two ends itself, and the accept
//! comes later. There is one case to wait for, a backlog that is full, and the kernel reports no
//! end of it.

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

/// How long a connect waits at first before it tries again while the listener's backlog is full.
/// The kernel doesn't report room in the backlog.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
/// How long that wait may become: each one is twice as long as the one before.
const LONGEST_PAUSE: Duration = Duration::from_millis(64);

impl UnixStream {
    /// Connects to the socket at `path`. A path that begins with a NUL is a name of the abstract
    /// namespace. It waits while the listener's backlog is full.
    ///
    /// # Errors
    ///
    /// Returns `NotFound` if there is no file, `ConnectionRefused` if nothing listens, and the
    /// other errors of connect(2). They name the path.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel-safe: dropping the future closes the attempt.
    ///
    /// # Examples
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
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<UnixStream> {
        let path = path.as_ref();
        let address =
            of_path(path).map_err(|error| with_address("connecting to", shown(path), error))?;
        UnixStream::connect_addr(&address).await
    }

    /// Connects to `address`, which may be a name of the abstract namespace. It waits while the
    /// listener's backlog is full.
    ///
    /// # Errors
    ///
    /// Returns the errors of connect(2). They name the address.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel-safe: dropping the future closes the attempt.
    ///
    /// # Examples
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
    pub async fn connect_addr(address: &SocketAddr) -> io::Result<UnixStream> {
        let connected = UnixStream::connect_at(address).await;
        connected.map_err(|error| with_address("connecting to", name(address), error))
    }

    /// Connects to `address`. Errors are the kernel's, without the address.
    async fn connect_at(address: &SocketAddr) -> io::Result<UnixStream> {
        // It mostly succeeds without a wait, so that a loop of connects yields here.
        coop::proceed().await;
        let address = to_kernel(address)?;
        let mut pause = SHORTEST_PAUSE;
        loop {
            match socket::connect(&address, &socket::Connect::default()) {
                Ok(fd) => return UnixStream::from_fd(fd, "UnixStream::connect"),
                // EAGAIN: the backlog is full (unix(7)). Nothing is pending on this socket, so no
                // event will come.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // Without a poller the error says so; `sleep` would panic.
                    Local::expect_current("UnixStream::connect")?;
                    time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
    }
}
