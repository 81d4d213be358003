//! Services of HTTP/2 whose errors are heard.
//!
//! A connection of HTTP/1 ends with the error of its service, and returns it. One of HTTP/2 goes on:
//! hyper resets the stream, and keeps the error for itself.

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use hyper::body::Incoming;
use hyper::service::Service;
use hyper::{Method, Request};
use pin_project_lite::pin_project;

use super::BoxError;
use super::errors::ErrorHook;
use crate::under_way::UnderWay;

/// What hears of the errors of the streams of one connection.
#[derive(Debug, Clone)]
pub(super) struct StreamErrors {
    /// The user's hook, if there is one.
    hook: Option<ErrorHook>,
    /// Without a hook, the first error, which the connection returns at its end.
    first: Rc<RefCell<Option<io::Error>>>,
}

impl StreamErrors {
    /// Returns a reporter for one connection.
    pub(super) fn new(hook: Option<ErrorHook>) -> StreamErrors {
        StreamErrors { hook, first: Rc::default() }
    }

    /// Reports the error of a service.
    fn report(&self, error: BoxError) {
        let kind = error.downcast_ref::<io::Error>().map_or(io::ErrorKind::Other, io::Error::kind);
        let error = io::Error::new(kind, error);
        match &self.hook {
            Some(hook) => (hook.0)(error),
            // An error is foreign code: it is dropped when nothing is borrowed.
            None if self.first.borrow().is_some() => drop(error),
            None => {
                self.first.replace(Some(error));
            }
        }
    }

    /// Returns the first error that no hook has heard.
    pub(super) fn take_first(&self) -> Option<io::Error> {
        self.first.take()
    }
}

/// The user's service, what hears of its errors, and what counts its tunnels.
#[derive(Debug)]
pub(super) struct Reporting<S> {
    /// The user's service.
    pub(super) service: S,
    /// What hears of its errors.
    pub(super) errors: StreamErrors,
    /// The requests that are under way.
    pub(super) under_way: UnderWay,
}

impl<S> Service<Request<Incoming>> for Reporting<S>
where
    S: Service<Request<Incoming>>,
    S::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = StreamFailed;
    type Future = ReportingFuture<S::Future>;

    fn call(&self, request: Request<Incoming>) -> ReportingFuture<S::Future> {
        if request.method() == Method::CONNECT {
            self.under_way.begin_tunnel();
        }
        ReportingFuture { future: self.service.call(request), errors: self.errors.clone() }
    }
}

pin_project! {
    /// The future of [`Reporting`].
    #[derive(Debug)]
    pub(super) struct ReportingFuture<F> {
        // The future of the user's service.
        #[pin]
        future: F,
        // What hears of its error.
        errors: StreamErrors,
    }
}

impl<F, T, E> Future for ReportingFuture<F>
where
    F: Future<Output = Result<T, E>>,
    E: Into<BoxError>,
{
    type Output = Result<T, StreamFailed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let output = ready!(this.future.poll(cx));
        Poll::Ready(output.map_err(|error| {
            this.errors.report(error.into());
            StreamFailed
        }))
    }
}

/// What hyper gets for an error that was reported: it resets the stream.
#[derive(Debug)]
pub(super) struct StreamFailed;

impl fmt::Display for StreamFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the service has failed")
    }
}

impl Error for StreamFailed {}
