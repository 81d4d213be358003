//! The server on the async API: one task a connection.

use std::io;
use std::pin::pin;
use std::time::Duration;

use corepoll::net::TcpStream;
use corepoll::{shutdown_requested, time, with_local};
use futures::{AsyncWriteExt, FutureExt};

use crate::http::{Connection, Verdict};
use crate::poller_cache::PollerCache;

/// How long a peer may take to end its side after the last answer.
const LINGER: Duration = Duration::from_secs(2);

/// Serves one connection until either side ends it.
pub async fn serve(stream: TcpStream) -> io::Result<()> {
    let mut connection = Connection::new();
    let mut shutdown = pin!(shutdown_requested().fuse());
    loop {
        let mut reading = pin!(stream.read_chunk().fuse());
        let verdict = futures::select_biased! {
            chunk = reading => {
                let chunk = chunk?;
                if chunk.is_empty() {
                    return Ok(());
                }
                let (date, mut output) = with_local(PollerCache::lend);
                let verdict = connection.feed(&chunk, &date, &mut output);
                // The chunk goes back to the poller before there is anything to wait for.
                drop(chunk);
                (&stream).write_all(&output).await?;
                with_local(|cache: &mut PollerCache| cache.take_back(output));
                verdict
            }
            () = shutdown => connection.wind_down(),
        };
        if verdict == Verdict::Close {
            return close_lingering(&stream).await;
        }
    }
}

/// Ends our side, then discards what the peer still sends until it has ended its own.
///
/// To close a socket that holds unread bytes is to reset the connection, and a reset destroys the
/// answer if the peer hasn't read it yet: just when a request was refused in the middle.
async fn close_lingering(mut stream: &TcpStream) -> io::Result<()> {
    stream.close().await?;
    let discarding = async {
        while !stream.read_chunk().await?.is_empty() {}
        io::Result::Ok(())
    };
    // Whoever takes longer has had its chance to read the answer.
    time::timeout(LINGER, discarding).await.unwrap_or(Ok(()))
}
