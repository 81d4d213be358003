//! futures-rustls on corepoll's streams.

mod client;
mod ends;
mod handshakes;
mod large;
mod server;

use std::io;

use corepoll::net::TcpStream;
use futures::io::BufReader;
use futures::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt};
use futures_rustls::TlsAcceptor;

/// A body that is no multiple of any buffer.
const LARGE: usize = 26_500_001;

/// Reads a line with a number, and sends as many bytes back as it says, as they come; then ends the
/// connection.
async fn echo(acceptor: TlsAcceptor, stream: TcpStream) -> io::Result<()> {
    let (read, mut write) = acceptor.accept(stream).await?.split();
    let mut read = BufReader::with_capacity(64 << 10, read);
    let mut line = String::new();
    read.read_line(&mut line).await?;
    let count = line.trim().parse().map_err(io::Error::other)?;
    futures::io::copy_buf(read.take(count), &mut write).await?;
    write.close().await
}

/// Reads until the peer's end. futures' `read_to_end` zero-fills what it reads into byte by byte, which
/// takes seconds where it is not optimised.
async fn read_all(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(bytes),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}
