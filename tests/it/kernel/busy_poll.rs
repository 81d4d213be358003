//! Pollers that poll network devices: what was asked for is what their epoll instances have.
#![allow(unsafe_code)] // For EPIOCGPARAMS.

use std::fs;
use std::time::Duration;

use crate::common::refuse::refuse_if;
use crate::common::{Echo, Server};
use crate::common::{ask, connect, in_own_process};
use corepoll::{BusyPoll, Reactor};

/// What the epoll instances of this process have: the time in microseconds, the packets, and
/// whether polling is preferred. `None` on a kernel before 6.9.
fn parameters() -> Option<Vec<(u32, u16, u8)>> {
    let is_epoll = |path: &fs::DirEntry| {
        let target = fs::read_link(path.path());
        target.is_ok_and(|target| target.to_str() == Some("anon_inode:[eventpoll]"))
    };
    let entries = fs::read_dir("/proc/self/fd").expect("procfs").map(|entry| entry.expect("one"));
    let read = |entry: fs::DirEntry| {
        let fd = entry.file_name().to_str().and_then(|name| name.parse().ok()).expect("a number");
        // SAFETY: all zeros is a valid `epoll_params`, which EPIOCGPARAMS writes.
        let (answer, raw) = unsafe {
            let mut raw: libc::epoll_params = std::mem::zeroed();
            (libc::ioctl(fd, libc::EPIOCGPARAMS, &raw mut raw), raw)
        };
        (answer == 0).then_some((raw.busy_poll_usecs, raw.busy_poll_budget, raw.prefer_busy_poll))
    };
    entries.filter(is_epoll).map(read).collect()
}

#[test]
fn each_poller_polls_as_it_was_told() {
    in_own_process(|| {
        let builder = Reactor::builder().pollers(2);
        let reactor = builder.clone().build().unwrap();
        if let Some(parameters) = parameters() {
            assert_eq!(parameters, [(0, 0, 0); 2], "off by default");
        }
        drop(reactor);
        let how = BusyPoll::new(Duration::from_nanos(77_001)).packets(17).prefer(true);
        let built = builder.busy_poll(how).build();
        let Some(parameters) = parameters() else {
            let error = built.expect_err("this kernel has no such thing");
            return assert!(error.to_string().contains("EPIOCSPARAMS"), "{error}");
        };
        assert_eq!(parameters, [(78, 17, 1); 2], "rounded up to microseconds");
        drop(built);
    });
}

#[test]
fn a_poller_that_polls_serves_and_hears_other_threads() {
    in_own_process(|| {
        let time = Duration::from_millis(50);
        let how = BusyPoll::new(time);
        if let Err(error) = Reactor::builder().pollers(1).busy_poll(how).build() {
            return assert!(error.to_string().contains("EPIOCSPARAMS"), "{error}");
        }
        let server = Server::build(Reactor::builder().pollers(1).busy_poll(how));
        let client = connect(server.listen(|| Echo));
        for _ in 0..10 {
            assert_eq!(ask(&client, b"hello"), b"hello");
            assert_eq!(server.on_poller(|| 7), 7);
        }
    });
}

/// It was asked for by name.
#[test]
fn a_kernel_without_it_is_an_error_of_build() {
    in_own_process(|| {
        let request = libc::EPIOCSPARAMS as u32;
        refuse_if(libc::SYS_ioctl, &[(1, request)], libc::ENOTTY);
        let how = BusyPoll::new(Duration::from_micros(50));
        let error = Reactor::builder().pollers(1).busy_poll(how).build().unwrap_err();
        assert!(error.to_string().contains("EPIOCSPARAMS"), "{error}");
        let source = std::error::Error::source(&error).expect("the kernel's error");
        let source = source.downcast_ref::<std::io::Error>().and_then(|it| it.raw_os_error());
        assert_eq!(source, Some(libc::ENOTTY));
        assert!(Reactor::builder().pollers(1).build().is_ok());
    });
}
