//! What a service must be, said once.

use hyper::body::{Body, Incoming};
use hyper::service::Service;
use hyper::{Request, Response};

use super::BoxError;

/// A service of hyper that is served on its poller: neither it nor its futures need be `Send`.
///
/// Every [`Service`] of requests whose errors can be boxed is one, with any body. The trait is
/// sealed.
///
/// # Examples
///
/// ```
/// use corepoll::{Listening, ReactorHandle};
/// use corepoll_hyper::{LocalService, serve};
///
/// fn listen<S: LocalService + Clone + Send>(on: &ReactorHandle, service: S) -> Listening {
///     serve(on, "127.0.0.1:0", service).expect("a free port")
/// }
/// # let _ = listen::<corepoll_hyper::WithConnectInfo<Never>>;
/// # #[derive(Clone)]
/// # struct Never;
/// # impl hyper::service::Service<hyper::Request<hyper::body::Incoming>> for Never {
/// #     type Response = hyper::Response<String>;
/// #     type Error = std::convert::Infallible;
/// #     type Future = std::future::Pending<Result<Self::Response, Self::Error>>;
/// #     fn call(&self, _: hyper::Request<hyper::body::Incoming>) -> Self::Future {
/// #         std::future::pending()
/// #     }
/// # }
/// ```
pub trait LocalService:
    Service<
        Request<Incoming>,
        Response = Response<Self::Answer>,
        Error: Into<BoxError>,
        Future: 'static,
    > + sealed::Sealed
    + 'static
{
    /// The body of its responses.
    type Answer: Body<Error: Into<BoxError>> + 'static;
}

impl<S, B> LocalService for S
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: 'static>
        + 'static,
    B: Body<Error: Into<BoxError>> + 'static,
{
    type Answer = B;
}

mod sealed {
    use super::{Incoming, Request, Service};

    /// Implemented here alone.
    pub trait Sealed {}

    impl<S: Service<Request<Incoming>>> Sealed for S {}
}
