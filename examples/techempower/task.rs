//! The server on the async API: one task a connection.

use std::io;
use std::pin::pin;

use corepoll::net::TcpStream;
use corepoll::{shutdown_requested, with_local};
use futures::{AsyncWriteExt, FutureExt};

use crate::common::close_lingering;
use crate::http::{Connection, Verdict};
use crate::poller_cache::PollerCache;

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
