//! What a request is told about its connection.

use std::net::SocketAddr;

use hyper::Request;
use hyper::service::Service;

/// The connection that a request came by, an extension of each request that [`serve`](crate::serve)
/// passes on.
///
/// # Examples
///
/// ```
/// use corepoll_hyper::ConnectInfo;
/// use hyper::{Request, body::Incoming};
///
/// fn peer(request: &Request<Incoming>) -> String {
///     let info = request.extensions().get::<ConnectInfo>();
///     info.map_or("unknown".into(), |info| info.peer.to_string())
/// }
/// # let _ = peer;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ConnectInfo {
    /// The address of the peer.
    pub peer: SocketAddr,
    /// The address of this side. It tells which one was asked, where the server listens at all.
    pub local: SocketAddr,
}

/// A service whose requests are told of their connection.
#[derive(Debug)]
pub(super) struct WithInfo<S> {
    /// The service.
    pub(super) service: S,
    /// The connection.
    pub(super) info: ConnectInfo,
}

impl<S, B> Service<Request<B>> for WithInfo<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    #[inline]
    fn call(&self, mut request: Request<B>) -> S::Future {
        request.extensions_mut().insert(self.info);
        self.service.call(request)
    }
}
