//! Reading HTTP requests without any I/O: the half of HTTP/1.1 that decides where a request ends, what
//! it asks for, and whether its connection goes on.
//!
//! Where RFC 9112 lets a recipient be lenient (a bare LF as line end, folded lines, repeated equal
//! lengths), this is strict: two parties that read the same bytes differently are what request
//! smuggling is made of.

// Each program uses some of it.
#![allow(dead_code, unused_imports)]

mod body;
mod byte_set;
mod chunked;
mod fields;
mod head;
mod persistence;
mod refusal;
mod requests;
mod target;

pub use body::Body;
pub use head::{HEAD_LIMIT, Head};
pub use persistence::Persistence;
pub use refusal::Refusal;
pub use requests::{Request, Requests};
