//! Bytes that are sent behind many empty slices.

use std::io::{self, IoSlice};

use corepoll::net::TcpStream;
use futures::AsyncWriteExt;

use crate::model::model;

/// More slices than one call of the kernel takes.
const EMPTY: usize = 1100;

/// Returns slices of which all but the last are empty.
pub fn behind_empty_slices(bytes: &[u8]) -> Vec<IoSlice<'_>> {
    let mut slices = vec![IoSlice::new(&[]); EMPTY];
    slices.push(IoSlice::new(bytes));
    slices
}

/// Sends bytes by a task, behind empty slices.
///
/// # Errors
///
/// Returns the errors of the stream.
pub async fn write_behind_empty_slices(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    let count = stream.write_vectored(&behind_empty_slices(bytes)).await?;
    if count == 0 && !bytes.is_empty() {
        model().violated("a write of slices has written nothing");
    }
    stream.write_all(&bytes[count..]).await
}
