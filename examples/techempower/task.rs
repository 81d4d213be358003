//! The server on the async API: one task a connection.

use std::io;
use std::pin::pin;
use std::time::{Duration, Instant};

use corepoll::net::TcpStream;
use corepoll::{shutdown_requested, time, with_local};
use futures::{AsyncWriteExt, FutureExt};

use crate::http::{Connection, Verdict};
use crate::lingering::close_lingering;
use crate::poller_cache::PollerCache;

/// Serves one connection until either side ends it, or the client takes longer than `patience` to have
/// a request answered: to send it, or to read what was answered before.
pub async fn serve(stream: TcpStream, patience: Duration) -> io::Result<()> {
    let mut connection = Connection::new();
    let mut shutdown = pin!(shutdown_requested().fuse());
    // One timer that looks whether there was an answer since it looked last costs nothing a request.
    // So the client may take twice as long at the most.
    let mut looks = time::interval_at(Instant::now() + patience, patience);
    loop {
        let mut reading = pin!(stream.read_chunk().fuse());
        let verdict = futures::select_biased! {
            // First: what is answered from now on says that the connection ends.
            () = shutdown => connection.wind_down(),
            chunk = reading => {
                let chunk = chunk?;
                if chunk.is_empty() {
                    return Ok(());
                }
                let (date, mut output) = with_local(PollerCache::lend);
                let verdict = connection.feed(&chunk, &date, &mut output);
                // The chunk goes back to the poller before there is anything to wait for.
                drop(chunk);
                write(&stream, &output, patience).await?;
                with_local(|cache: &mut PollerCache| cache.take_back(output));
                verdict
            }
            _look = pin!(looks.tick().fuse()) => {
                if connection.is_making_progress() {
                    continue;
                }
                let (date, mut output) = with_local(PollerCache::lend);
                let verdict = connection.time_out(&date, &mut output);
                write(&stream, &output, patience).await?;
                with_local(|cache: &mut PollerCache| cache.take_back(output));
                verdict
            }
        };
        if verdict == Verdict::Close {
            return close_lingering(&stream).await;
        }
    }
}

/// Writes all of `output`. A client that doesn't read it in time is not worth the wait.
async fn write(mut stream: &TcpStream, output: &[u8], patience: Duration) -> io::Result<()> {
    // Nearly always the kernel takes it at once, and then there is no timer.
    let sent = match stream.try_write(output) {
        Ok(sent) => sent,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        Err(error) => return Err(error),
    };
    if sent < output.len() {
        time::timeout(patience, stream.write_all(&output[sent..])).await??;
    }
    Ok(())
}
