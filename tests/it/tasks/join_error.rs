//! Why a task has no output, as errors are handled: printed, carried by `?`, kept as a source, and
//! looked at from several threads.

use std::error::Error;
use std::future::pending;
use std::io;
use std::panic::{RefUnwindSafe, UnwindSafe, resume_unwind};
use std::thread;

use crate::common::{ON_PURPOSE, panic_on_purpose};
use corepoll::{JoinError, block_on, spawn_local};

/// What a boxed error and its wrappers ask for.
const fn is_as_errors_are<T: Error + Send + Sync + UnwindSafe + RefUnwindSafe + 'static>() {}

const _: () = is_as_errors_are::<JoinError>();

/// A task has room for its output or its error from the beginning: the error is one word.
const _: () = assert!(size_of::<JoinError>() == size_of::<usize>());

fn panics(panic: impl FnOnce() + 'static) -> JoinError {
    block_on(async { spawn_local(async { panic() }).await.unwrap_err() })
}

fn cancelled() -> JoinError {
    block_on(async {
        let task = spawn_local(pending::<()>());
        task.abort();
        task.await.unwrap_err()
    })
}

#[test]
fn it_says_what_the_panic_said() {
    let error = panics(|| panic_on_purpose());
    assert_eq!(error.to_string(), "task panicked: on purpose");
    assert_eq!(format!("{error:?}"), "JoinError(task panicked: on purpose)");
    let error = panics(|| resume_unwind(Box::new(format!("number {}", 5))));
    assert_eq!(error.to_string(), "task panicked: number 5");
    let error = panics(|| resume_unwind(Box::new(5)));
    assert_eq!(error.to_string(), "task panicked");
    assert_eq!(cancelled().to_string(), "task was cancelled");
    assert_eq!(format!("{:?}", cancelled()), "JoinError(task was cancelled)");
}

#[test]
fn a_question_mark_takes_it_into_a_boxed_error_and_an_io_error() {
    fn boxed(error: JoinError) -> Result<(), Box<dyn Error + Send + Sync>> {
        Err(error)?
    }
    fn io(error: JoinError) -> io::Result<()> {
        Err(error)?
    }
    let error = boxed(panics(|| panic_on_purpose())).unwrap_err();
    let error = error.downcast::<JoinError>().unwrap();
    assert_eq!(error.into_panic().downcast_ref(), Some(&ON_PURPOSE));

    let error = io(panics(|| panic_on_purpose())).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Other);
    assert_eq!(error.to_string(), "task panicked: on purpose");
    let inner = error.into_inner().unwrap().downcast::<JoinError>().unwrap();
    assert!(inner.is_panic());
    assert!(io(cancelled()).unwrap_err().to_string().contains("cancelled"));
}

/// A payload that is not Sync is looked at by one thread at a time.
#[test]
fn several_threads_print_one_error() {
    struct NotSync(#[allow(dead_code)] std::cell::Cell<u8>);
    for error in [panics(|| panic_on_purpose()), cancelled()] {
        let expected = error.to_string();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..100).for_each(|_| assert_eq!(error.to_string(), expected)));
            }
        });
    }
    let error = panics(|| resume_unwind(Box::new(NotSync(5.into()))));
    thread::scope(|scope| {
        scope.spawn(|| assert_eq!(error.to_string(), "task panicked"));
    });
    assert!(error.into_panic().is::<NotSync>());
}

/// A reader of the message may look at the error again.
#[test]
fn it_may_be_printed_while_it_is_printed() {
    struct Asks<'a>(&'a JoinError, Vec<String>);
    impl std::fmt::Write for Asks<'_> {
        fn write_str(&mut self, _: &str) -> std::fmt::Result {
            self.1.push(self.0.to_string());
            Ok(())
        }
    }
    let error = panics(|| panic_on_purpose());
    let mut asks = Asks(&error, Vec::new());
    std::fmt::Write::write_fmt(&mut asks, format_args!("{error}")).unwrap();
    assert_eq!(asks.1.last().map(String::as_str), Some("task panicked: on purpose"));
}

#[test]
fn the_payload_is_taken_out_or_the_error_is_given_back() {
    let panic = panics(|| panic_on_purpose()).try_into_panic().expect("it was a panic");
    assert!(panic.downcast_ref::<&str>().is_some_and(|text| *text == ON_PURPOSE));
    let error = cancelled().try_into_panic().expect_err("it was none");
    assert!(error.is_cancelled());
}
