//! The end of a connection on the async API.

use std::io;
use std::time::Duration;

use corepoll::net::TcpStream;
use corepoll::time;
use futures::AsyncWriteExt;

/// How long a peer may take to end its side after our last answer.
const LINGER: Duration = Duration::from_secs(2);

/// Ends our side, then discards what the peer still sends until it has ended its own.
///
/// Closing a socket that holds unread bytes resets the connection, and a reset destroys an answer that
/// the peer has not read yet (RFC 9112, section 9.6). Handlers need none of this: `Action::Close` lingers.
pub async fn close_lingering(mut stream: &TcpStream) -> io::Result<()> {
    stream.close().await?;
    let discarding = async {
        while !stream.read_chunk().await?.is_empty() {}
        io::Result::Ok(())
    };
    // A peer that takes longer has had its chance to read.
    time::timeout(LINGER, discarding).await.unwrap_or(Ok(()))
}
