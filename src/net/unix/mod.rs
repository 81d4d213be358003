//! The halves of a [`UnixStream`], under the path that they have in tokio.

pub(crate) mod credentials;
pub(crate) mod datagram;
pub(crate) mod listener;
pub(crate) mod stream;

use crate::net::socket::{read_half, split, write_half};
use crate::net::unix::stream::UnixStream;

/// The read direction of a [`UnixStream`] that is lent: see [`UnixStream::split`].
///
/// ```
/// use corepoll::net::{UnixStream, unix};
/// use futures::AsyncReadExt;
///
/// async fn all(mut reader: unix::ReadHalf<'_>) -> std::io::Result<String> {
///     let mut text = String::new();
///     reader.read_to_string(&mut text).await?;
///     Ok(text)
/// }
///
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     let (mut one, other) = UnixStream::pair()?;
///     other.try_write(b"hello")?;
///     drop(other);
///     assert_eq!(all(UnixStream::split(&mut one).0).await?, "hello");
///     Ok(())
/// })
/// # }
/// ```
pub type ReadHalf<'a> = read_half::ReadHalf<'a, UnixStream>;

/// The write direction of a [`UnixStream`] that is lent: see [`UnixStream::split`].
///
/// ```
/// use corepoll::net::{UnixStream, unix};
/// use futures::AsyncWriteExt;
///
/// async fn greet(mut writer: unix::WriteHalf<'_>) -> std::io::Result<()> {
///     writer.write_all(b"hello").await
/// }
///
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     let (mut one, other) = UnixStream::pair()?;
///     greet(UnixStream::split(&mut one).1).await?;
///     assert_eq!(&*other.read_chunk().await?, b"hello");
///     Ok(())
/// })
/// # }
/// ```
pub type WriteHalf<'a> = write_half::WriteHalf<'a, UnixStream>;

/// The read direction of a [`UnixStream`]: see [`UnixStream::into_split`].
///
/// ```
/// use corepoll::net::{UnixStream, unix};
/// use corepoll::spawn_local;
///
/// async fn length(reader: unix::OwnedReadHalf) -> std::io::Result<usize> {
///     Ok(reader.read_chunk().await?.len())
/// }
///
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     let (one, other) = UnixStream::pair()?;
///     let (reader, _writer) = one.into_split();
///     let length = spawn_local(length(reader));
///     other.try_write(b"hello")?;
///     assert_eq!(length.await.unwrap()?, 5);
///     Ok(())
/// })
/// # }
/// ```
pub type OwnedReadHalf = read_half::OwnedReadHalf<UnixStream>;

/// The write direction of a [`UnixStream`]: see [`UnixStream::into_split`]. Dropping it shuts the
/// direction down, so that the peer reads the end.
///
/// ```
/// use corepoll::net::{UnixStream, unix};
///
/// fn say(writer: unix::OwnedWriteHalf) -> std::io::Result<usize> {
///     writer.try_write(b"that is all")
/// }
///
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     let (one, other) = UnixStream::pair()?;
///     let (_reader, writer) = one.into_split();
///     say(writer)?;
///     assert_eq!(&*other.read_chunk().await?, b"that is all");
///     assert!(other.read_chunk().await?.is_empty());
///     Ok(())
/// })
/// # }
/// ```
pub type OwnedWriteHalf = write_half::OwnedWriteHalf<UnixStream>;

/// Two halves that are not of the same [`UnixStream`]: here they are again.
///
/// ```
/// use corepoll::net::{UnixStream, unix};
///
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     let (one, two) = UnixStream::pair()?;
///     let ((reader, _), (_, writer)) = (one.into_split(), two.into_split());
///     let error: unix::ReuniteError = reader.reunite(writer).unwrap_err();
///     assert_eq!(error.to_string(), "the halves are not of the same stream");
///     Ok(())
/// })
/// # }
/// ```
pub type ReuniteError = split::ReuniteError<UnixStream>;
