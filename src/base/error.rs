//! Errors that say what was being done, and keep the system's error as their source.
//!
//! The crate has no error type of its own for I/O: an `io::Error` is what callers match on, by its
//! kind or by its errno. What is added here is text, and neither of the two gets lost by it.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::io;

/// Returns the message of a panic, if its payload is text.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> Option<&str> {
    let text = payload.downcast_ref::<&'static str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

/// An error with a text of this crate. Its source is the `io::Error` that it began with, with its
/// errno.
#[derive(Debug)]
struct Described {
    /// What was being done, and what went wrong.
    text: String,
    /// The system's error.
    source: io::Error,
}

impl fmt::Display for Described {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Described {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

/// Returns an error of the same kind with the text `text`. Its `source()` is `error` itself, or the
/// source of `error` if that is an `io::Error`. So one look finds the errno, however many callers
/// have added to the text.
pub(crate) fn described(text: String, error: io::Error) -> io::Error {
    let kind = error.kind();
    // The sources are not chained: the text has all that the callers have added.
    let source = match error.downcast::<Described>() {
        Ok(before) => before.source,
        Err(error) => match cause(&error) {
            Some(cause) => copy(cause),
            None => error,
        },
    };
    io::Error::new(kind, Described { text, source })
}

/// Returns the nearest `io::Error` that is a cause of `error`.
fn cause(error: &io::Error) -> Option<&io::Error> {
    let mut causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.find_map(|cause| cause.downcast_ref::<io::Error>())
}

/// Returns `error` with what was being done before its text: "binding 127.0.0.1:80: ...".
pub(crate) fn during(doing: impl fmt::Display, error: io::Error) -> io::Error {
    described(format!("{doing}: {error}"), error)
}

/// Returns the kernel's number of `error`, or of what it describes; `None` if there is none.
pub(crate) fn errno(error: &io::Error) -> Option<i32> {
    // `described` keeps one source and no chain, so one step down is enough.
    error.raw_os_error().or_else(|| {
        let described = error.source()?.downcast_ref::<io::Error>()?;
        described.raw_os_error()
    })
}

/// Returns several failures of one operation as one error, whose text has all of them. Its kind and
/// its source are those of the last one. Returns `None` if there are none.
pub(crate) fn all_of(mut failures: Vec<io::Error>) -> Option<io::Error> {
    let last = failures.pop()?;
    if failures.is_empty() {
        return Some(last);
    }
    let texts: Vec<String> = failures.iter().chain([&last]).map(io::Error::to_string).collect();
    Some(described(texts.join("; "), last))
}

/// Returns a copy of `error`, for a second receiver: the same kind, text and errno.
pub(crate) fn copy(error: &io::Error) -> io::Error {
    // An `io::Error` is not `Clone`, since it may hold any error in a box. Its text is what
    // remains.
    if let Some(code) = error.raw_os_error() {
        return io::Error::from_raw_os_error(code);
    }
    let text = error.to_string();
    // The errno is carried on by the copy of the cause, which is made by the first branch.
    match cause(error) {
        Some(source) => io::Error::new(error.kind(), Described { text, source: copy(source) }),
        None => io::Error::new(error.kind(), text),
    }
}

#[cfg(test)]
mod tests {
    use super::{all_of, copy, described, during};
    use std::error::Error;
    use std::io;

    fn errno_of_the_source(error: &io::Error) -> Option<i32> {
        error.source()?.downcast_ref::<io::Error>()?.raw_os_error()
    }

    #[test]
    fn the_text_grows_and_the_source_stays() {
        let error = during("binding 127.0.0.1:80", io::Error::from_raw_os_error(libc::EMFILE));
        let error = during("starting", error);
        assert!(error.to_string().starts_with("starting: binding 127.0.0.1:80: Too many open"));
        assert_eq!(errno_of_the_source(&error), Some(libc::EMFILE));
        let refused = io::Error::from_raw_os_error(libc::ECONNREFUSED);
        let error = described("all of them".into(), during("connecting", refused));
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(error.to_string(), "all of them");
        assert_eq!(errno_of_the_source(&error), Some(libc::ECONNREFUSED));
    }

    #[test]
    fn several_are_told_as_one() {
        assert!(all_of(Vec::new()).is_none());
        let codes = [libc::EMFILE, libc::ECONNREFUSED];
        let failures = codes.map(|code| during(code, io::Error::from_raw_os_error(code)));
        let error = all_of(failures.into()).expect("there are two");
        assert!(error.to_string().starts_with("24: Too many"), "{error}");
        assert!(error.to_string().contains("; 111: Connection refused"), "{error}");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(errno_of_the_source(&error), Some(libc::ECONNREFUSED));
    }

    #[test]
    fn a_copy_says_the_same() {
        let plain = io::Error::from_raw_os_error(libc::EPIPE);
        assert_eq!(copy(&plain).raw_os_error(), Some(libc::EPIPE));
        let told = during("binding 127.0.0.1:80", io::Error::from_raw_os_error(libc::EACCES));
        let wrapped = io::Error::other(told);
        for error in [&wrapped, &io::Error::new(io::ErrorKind::TimedOut, "late")] {
            let copied = copy(error);
            assert_eq!(copied.kind(), error.kind());
            assert_eq!(copied.to_string(), error.to_string());
            assert_eq!(errno_of_the_source(&copied), copied.source().map(|_| libc::EACCES));
        }
        assert!(copy(&wrapped).source().is_some());
        assert_eq!(errno_of_the_source(&during("starting", wrapped)), Some(libc::EACCES));
    }
}
