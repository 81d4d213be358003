use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::stream;
use http_body_util::BodyExt;
use interop::wait_for;
use tower::buffer::Buffer;
use tower::timeout::Timeout;
use tower::{Service, ServiceExt, service_fn};

use super::{Error, runtime};

/// Far less than any answer takes here: there is none.
const SOON: Duration = Duration::from_millis(1);

#[test]
fn a_timeout_of_tower_passes_on_a_poller() {
    // The service isn't Send.
    let shared = Rc::new(41);
    let service = service_fn(move |wait: bool| {
        let shared = Rc::clone(&shared);
        async move {
            if wait {
                std::future::pending::<()>().await;
            }
            // A timer of corepoll's, inside of one of tokio's.
            corepoll::time::sleep(SOON).await;
            Ok::<i32, Infallible>(*shared + 1)
        }
    });
    let asked = runtime().wrap(async move {
        let mut slow = Timeout::new(service.clone(), SOON);
        let error = slow.ready().await?.call(true).await.expect_err("it never answers");
        assert!(error.is::<tower::timeout::error::Elapsed>(), "{error}");
        Timeout::new(service, interop::LONG).oneshot(false).await
    });
    assert_eq!(wait_for(asked).expect("an answer"), 42);
}

#[test]
fn without_the_context_a_timeout_of_tower_panics() {
    let service = service_fn(async |_: ()| Ok::<(), Infallible>(()));
    let ask = || wait_for(Timeout::new(service, SOON).oneshot(()));
    assert!(catch_unwind(AssertUnwindSafe(ask)).is_err(), "the context is needed no more: say so");
}

#[test]
fn a_buffer_of_tower_is_used_by_many_tasks() {
    let here = thread::current().id();
    let asked = runtime().wrap(async move {
        // Its worker is a task of tokio, so the service is called there; its answers are awaited here.
        let service = service_fn(move |n: u32| {
            assert_ne!(thread::current().id(), here);
            async move {
                assert_eq!(thread::current().id(), here);
                corepoll::time::sleep(SOON).await;
                Ok::<u32, Error>(n + 1)
            }
        });
        let buffer = Buffer::new(service, 4);
        let answers = (0..100).map(|n| buffer.clone().oneshot(n));
        futures::future::try_join_all(answers).await
    });
    assert_eq!(wait_for(asked).expect("answers"), (1..=100).collect::<Vec<u32>>());
}

#[test]
fn events_of_axum_are_kept_alive() {
    let events = stream::pending::<Result<Event, Infallible>>();
    let text = wait_for(runtime().wrap(async {
        let keep_alive = KeepAlive::new().interval(SOON).text("still here");
        let mut body = Sse::new(events).keep_alive(keep_alive).into_response().into_body();
        let mut text = Vec::new();
        for _ in 0..3 {
            let frame = body.frame().await.expect("it goes on").expect("no error");
            text.extend_from_slice(&frame.into_data().expect("bytes"));
        }
        text
    }));
    assert_eq!(text, b": still here\n\n".repeat(3));
}
