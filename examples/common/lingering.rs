//! The end of a connection on the async API.

use std::io;
use std::time::Duration;

use corepoll::net::TcpStream;
use corepoll::time;
use futures::AsyncWriteExt;

/// How long a peer may take to end its side after our last word.
const LINGER: Duration = Duration::from_secs(2);

/// Ends our side, then discards what the peer still sends until it has ended its own.
///
/// To close a socket that holds unread bytes is to reset the connection, and a reset destroys our last
/// words if the peer hasn't read them yet: just when something was refused in the middle.
pub async fn close_lingering(mut stream: &TcpStream) -> io::Result<()> {
    stream.close().await?;
    let discarding = async {
        while !stream.read_chunk().await?.is_empty() {}
        io::Result::Ok(())
    };
    // Whoever takes longer has had its chance to read.
    time::timeout(LINGER, discarding).await.unwrap_or(Ok(()))
}
