//! Values at the edge: every number, duration and point in time that a user can pass, from nothing to
//! the greatest that there is.

use std::fs::File;
use std::future::Future;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::pin::{Pin, pin};
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{
    self, ANY, PATIENCE, Server, ask, connect, in_own_process, raise_descriptor_limit, read_to_end,
    within_patience,
};
use corepoll::net::{ConnectOptions, ListenOptions, TcpKeepalive, TcpListener, TcpStream};
use corepoll::stall::StallWatch;
use corepoll::time::{self, MissedTickBehavior, Sleep};
use corepoll::{
    Acceptor, Action, Budget, Builder, BusyPoll, ConnectPool, Connector, Deadlines, EvContext,
    EvHandler, Interest, LocalPoller, Placement, Reactor, TimerId, block_on, block_on_with,
    spawn_local,
};
use socket2::SockRef;

const NUMBERS: [usize; 8] = [
    0,
    1,
    64,
    // The first that epoll refuses, and what an int or the memory can't hold.
    i32::MAX as usize / 12 + 1,
    1 << 32,
    1 << 40,
    usize::MAX - 1,
    usize::MAX,
];

const DURATIONS: [Duration; 7] = [
    Duration::ZERO,
    Duration::from_nanos(1),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(1 << 32),
    Duration::MAX.saturating_sub(Duration::from_nanos(1)),
    Duration::MAX,
];

// ---- points in time ----

/// One poll, by a waker that does nothing.
fn poll(future: Pin<&mut impl Future>) -> bool {
    future.poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

/// The next poll is ready if the sleep says so, and never else.
fn agrees(mut sleep: Pin<&mut Sleep>) -> bool {
    let said = sleep.is_elapsed();
    let found = poll(sleep.as_mut());
    assert!(found || !said, "it has elapsed, and waits");
    assert!(!found || sleep.is_elapsed(), "it is early");
    found
}

#[test]
fn a_sleep_whose_time_has_come_is_ready_at_the_next_poll() {
    block_on(async {
        let hour = Duration::from_secs(3600);
        let past =
            [Instant::now(), Instant::now() - Duration::from_nanos(1), Instant::now() - hour];
        for deadline in past {
            // Never armed; armed for later, and reset; armed, reset and never polled in between.
            assert!(agrees(pin!(time::sleep_until(deadline))));
            let mut sleep = pin!(time::sleep(hour));
            assert!(!agrees(sleep.as_mut()));
            sleep.as_mut().reset(deadline);
            assert!(agrees(sleep.as_mut()) && agrees(sleep.as_mut()));
            sleep.as_mut().reset(Instant::now() + hour);
            assert!(!agrees(sleep.as_mut()));
            sleep.as_mut().reset(Instant::now() + 2 * hour);
            sleep.as_mut().reset(deadline);
            assert!(agrees(sleep.as_mut()));
        }
        // Its time comes while its poller does something else.
        let mut sleep = pin!(time::sleep(Duration::from_millis(1)));
        // Armed now, unless this thread was held up.
        let _ = agrees(sleep.as_mut());
        thread::sleep(Duration::from_millis(2));
        assert!(sleep.is_elapsed() && agrees(sleep));
        // A beat that is begun anew, with a period of nothing.
        let mut beat = time::interval(Duration::ZERO);
        beat.reset();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(beat.poll_tick(&mut cx), Poll::Ready(due) if due <= time::now()));
    });
}

#[test]
fn no_duration_is_too_short_or_too_long_for_a_timer() {
    within_patience(|| {
        block_on(async {
            for duration in DURATIONS {
                let ends = duration < Duration::from_secs(2);
                let mut sleep = pin!(time::sleep(duration));
                let mut limit = pin!(time::timeout(duration, std::future::pending::<()>()));
                let mut beat = time::interval(duration);
                beat.tick().await;
                let mut after = time::interval_at(Instant::now(), duration);
                after.tick().await;
                after.set_missed_tick_behavior(MissedTickBehavior::Skip);
                if ends {
                    sleep.as_mut().await;
                    assert!(limit.as_mut().await.is_err());
                    assert!(beat.tick().await <= time::now() && after.tick().await <= time::now());
                } else {
                    assert!(!poll(sleep.as_mut()) && !poll(limit.as_mut()));
                    assert!(sleep.deadline() > Instant::now() + Duration::from_secs(1));
                    assert!(!poll(pin!(beat.tick())) && !poll(pin!(after.tick())));
                    beat.reset();
                    assert!(!poll(pin!(beat.tick())));
                }
                if let Some(deadline) = Instant::now().checked_add(duration) {
                    let mut until = pin!(time::sleep_until(deadline));
                    let before = time::now();
                    match poll(until.as_mut()) {
                        true => assert!(deadline <= time::now()),
                        false => assert!(deadline > before),
                    }
                    assert!(poll(pin!(time::timeout_at(deadline, async {}))));
                }
            }
        });
    });
}

#[test]
fn no_duration_is_too_short_or_too_long_for_a_handler() {
    struct Armed(mpsc::Sender<usize>, usize);
    impl EvHandler for Armed {
        fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
            for duration in DURATIONS {
                let (timer, beat) = (cx.set_timer(duration), cx.set_interval(duration));
                assert!(cx.reset_timer(timer, Duration::MAX) && cx.reset_timer(timer, duration));
                assert_ne!(timer, beat);
                cx.set_deadlines(Deadlines { idle: Some(duration), ..Deadlines::default() })?;
            }
            for high in NUMBERS {
                NUMBERS.iter().for_each(|low| cx.set_watermarks(*low, high));
            }
            cx.set_deadlines(Deadlines::default())?;
            Ok(Action::Keep)
        }
        fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
            Ok(Action::Close)
        }
        fn on_timeout(&mut self, _: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
            self.1 += 1;
            self.0.send(self.1).map_err(io::Error::other)?;
            Ok(Action::Keep)
        }
    }
    let server = Server::start(1);
    let (near, far) = UnixStream::pair().unwrap();
    let (said, told) = mpsc::channel();
    server.poller().register(near.into(), Interest::READABLE, || Armed(said, 0)).unwrap();
    // Those of 0 and 1 ns, the one-shots of 500 ms and 1 s, and beats.
    while told.recv_timeout(PATIENCE).unwrap() < 1000 {}
    drop(far);
}

#[test]
fn a_deadline_is_missed_or_not_whatever_its_length() {
    within_patience(|| {
        block_on(async {
            let listener = TcpListener::bind(ANY).await.unwrap();
            for duration in DURATIONS {
                let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
                let (idle, read) = (Some(duration), Some(duration));
                stream.set_deadlines(Deadlines { idle, read, write: Some(duration) });
                let mut chunk = pin!(stream.read_chunk());
                if duration < Duration::from_secs(2) {
                    let error = chunk.await.unwrap_err();
                    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
                } else {
                    assert!(!poll(chunk.as_mut()));
                }
            }
        });
    });
}

// ---- limits and sizes ----

struct Echo;

impl EvHandler for Echo {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let data = cx.read()?;
        cx.write(&data)?;
        Ok(if data.is_empty() { Action::Close } else { Action::Keep })
    }
}

/// A reactor of one poller does everything that it should.
fn works(builder: Builder) {
    let server = Server::build(builder.pollers(1));
    let handlers = server.listen(|| Echo);
    let tasks = server.handle().serve(ANY, |stream, _| async move {
        let (mut reader, mut writer) = stream.into_split();
        futures::io::copy(&mut reader, &mut writer).await.map(drop)
    });
    for addr in [handlers, tasks.unwrap().local_addr().unwrap()] {
        let client = connect(addr);
        assert_eq!(ask(&client, b"hello"), b"hello");
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_end(&client), b"");
    }
    let task = server.poller().spawn_on(|| async {
        time::sleep(Duration::from_nanos(1)).await;
        corepoll::yield_now().await;
        7
    });
    assert_eq!(block_on(task).unwrap(), 7);
    server.stop(Duration::ZERO);
}

type Count = fn(&mut Budget) -> &mut usize;

/// Every count of a budget.
const COUNTS: [(&str, Count); 10] = [
    ("events_per_wait", |budget| &mut budget.events_per_wait),
    ("tasks_per_turn", |budget| &mut budget.tasks_per_turn),
    ("accepts_per_event", |budget| &mut budget.accepts_per_event),
    ("mail_per_turn", |budget| &mut budget.mail_per_turn),
    ("mail_waiting", |budget| &mut budget.mail_waiting),
    ("timers_per_turn", |budget| &mut budget.timers_per_turn),
    ("read_per_event", |budget| &mut budget.read_per_event),
    ("send_per_event", |budget| &mut budget.send_per_event),
    ("output_per_connection", |budget| &mut budget.output_per_connection),
    ("files_per_connection", |budget| &mut budget.files_per_connection),
];

type Time = fn(&mut Budget) -> &mut Duration;

/// Every duration of a budget.
const TIMES: [(&str, Time); 2] =
    [("close_linger", |budget| &mut budget.close_linger), ("slice", |budget| &mut budget.slice)];

#[test]
fn every_limit_of_a_budget_takes_every_value() {
    let mut fields = format!("{:?}", Budget::default());
    for name in COUNTS.map(|it| it.0).into_iter().chain(TIMES.map(|it| it.0)) {
        assert!(fields.contains(name), "{name}");
        fields = fields.replacen(&format!("{name}:"), "", 1);
    }
    assert!(!fields.contains(':'), "limits that aren't tried: {fields}");
    for value in NUMBERS {
        for (name, count) in COUNTS {
            eprintln!("{name}: {value}");
            let mut budget = Budget::default();
            *count(&mut budget) = value;
            works(Reactor::builder().budget(budget));
        }
        let mut all = Budget::default();
        COUNTS.iter().for_each(|(_, count)| *count(&mut all) = value);
        works(Reactor::builder().budget(all.clone()));
        let sleeps = || time::sleep(Duration::from_millis(1));
        block_on_with(all.clone(), async move { spawn_local(sleeps()).await.unwrap() });
        let mut poller = LocalPoller::with_budget(all).unwrap();
        let task = poller.spawn_local(sleeps());
        while !task.is_finished() {
            poller.turn(None).unwrap();
        }
    }
    for value in DURATIONS {
        for (name, time) in TIMES {
            eprintln!("{name}: {value:?}");
            let mut budget = Budget::default();
            *time(&mut budget) = value;
            works(Reactor::builder().budget(budget));
        }
    }
}

#[test]
fn a_reactor_is_built_or_says_what_is_wrong() {
    for bytes in NUMBERS {
        let builder = Reactor::builder().pollers(1).read_buffer_size(bytes);
        match builder.clone().build() {
            Ok(_) => works(builder),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{bytes}"),
        }
        let built = Reactor::builder().placement(Placement::Cores(vec![bytes])).build();
        assert!(built.is_ok() || built.unwrap_err().kind() == io::ErrorKind::InvalidInput);
        // Some are too many for this process: EMFILE.
        match Reactor::builder().pollers(bytes).build() {
            Ok(reactor) => assert_eq!(reactor.handle().pollers().len(), bytes),
            Err(error) => {
                let is_invalid = error.kind() == io::ErrorKind::InvalidInput;
                assert!(is_invalid || error.raw_os_error() == Some(libc::EMFILE), "{bytes}");
            }
        }
    }
    for threshold in DURATIONS {
        let watch = StallWatch::new().threshold(threshold).report_to(|_| {});
        works(Reactor::builder().stall_watch(watch));
    }
    for time in DURATIONS {
        for packets in [0, 1, 64, u16::MAX - 1, u16::MAX] {
            let builder = Reactor::builder().pollers(1);
            let builder = builder.busy_poll(BusyPoll::new(time).packets(packets));
            match builder.clone().build() {
                Ok(_) => works(builder),
                // A kernel without it, or no privilege for so many.
                Err(error) => assert!(error.to_string().contains("EPIOCSPARAMS"), "{error}"),
            }
        }
    }
}

#[test]
fn every_grace_ends() {
    for grace in DURATIONS {
        let server = Server::start(1);
        let last = server.poller().spawn_on(|| async { corepoll::shutdown_requested().await });
        within_patience(move || {
            server.stop(grace);
            drop(last);
        });
        // A longer one after it, and a shorter one.
        let server = Server::start(1);
        let endless = server.poller().spawn_on(std::future::pending::<()>);
        server.handle().shutdown(grace);
        server.handle().shutdown(Duration::MAX);
        within_patience(move || assert!(server.stop(Duration::ZERO).cancelled <= 1));
        drop(endless);
    }
}

#[test]
fn a_turn_waits_for_any_time() {
    for timeout in DURATIONS {
        within_patience(move || {
            let mut poller = LocalPoller::new().unwrap();
            // So that it ends.
            let task = poller.spawn_local(time::sleep(Duration::from_millis(1)));
            while !task.is_finished() {
                poller.turn(Some(timeout)).unwrap();
            }
        });
    }
}

// ---- sockets ----

#[test]
fn the_options_of_a_listener_take_every_value() {
    let server = Server::start(1);
    let tried = |acceptor: Acceptor, options: ListenOptions| {
        let listening = acceptor.listen(server.handle(), || Echo).unwrap();
        let client = connect(listening.local_addr().unwrap());
        assert_eq!(ask(&client, b"hello"), b"hello");
        listening.close();
        block_on(async { TcpListener::bind_with(ANY, options).await.map(drop) }).unwrap();
    };
    let (acceptor, options) = (|| Acceptor::new(ANY), ListenOptions::new);
    for n in [0, 1, 128, u32::MAX - 1, u32::MAX] {
        tried(acceptor().backlog(n), options().backlog(n));
        tried(acceptor().fast_open(n), options().fast_open(n));
    }
    for n in NUMBERS {
        tried(acceptor().recv_buffer_size(n), options().recv_buffer_size(n));
        tried(acceptor().send_buffer_size(n), options().send_buffer_size(n));
        tried(acceptor(), options().incoming_cpu(n));
    }
    for limit in DURATIONS {
        tried(acceptor().defer_accept(limit), options().defer_accept(limit));
    }
}

#[test]
fn a_buffer_is_no_smaller_for_being_asked_to_be_greater() {
    let sizes_of = |n: usize| {
        block_on(async {
            let options = ListenOptions::new().recv_buffer_size(n).send_buffer_size(n);
            let listener = TcpListener::bind_with(ANY, options).await.unwrap();
            let options = ConnectOptions::new().recv_buffer_size(n).send_buffer_size(n);
            let addr = listener.local_addr().unwrap();
            let stream = TcpStream::connect_with(addr, options).await.unwrap();
            let (listener, stream) = (SockRef::from(&listener), SockRef::from(&stream));
            [&listener, &stream].map(|socket| {
                [socket.recv_buffer_size().unwrap(), socket.send_buffer_size().unwrap()]
            })
        })
    };
    let sizes = NUMBERS.map(sizes_of);
    for of in 0..4 {
        let sizes = sizes.map(|sizes| sizes[of / 2][of % 2]);
        assert!(sizes.is_sorted(), "{sizes:?}");
    }
}

#[test]
fn no_option_of_a_connection_becomes_its_opposite() {
    let (stream, _peer) = common::tcp_pair();
    block_on(async {
        stream.set_nonblocking(true).unwrap();
        let stream = TcpStream::from_std(stream).unwrap();
        for time in DURATIONS {
            stream.set_linger(Some(time)).unwrap();
            let linger = stream.linger().unwrap().expect("it is on");
            assert!(linger >= time.min(Duration::from_secs(86_400)), "{linger:?} for {time:?}");
            assert_eq!(linger.is_zero(), time.is_zero(), "zero is a reset");

            stream.set_user_timeout(Some(time)).unwrap();
            let limit = stream.user_timeout().unwrap().expect("it is a limit");
            assert!(limit >= time.min(Duration::from_secs(86_400)), "{limit:?} for {time:?}");

            match stream.set_busy_poll(time) {
                Ok(()) => {
                    let polls = stream.busy_poll().unwrap();
                    assert!(polls >= time.min(Duration::from_secs(1000)));
                    assert_eq!(polls.is_zero(), time.is_zero());
                }
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::PermissionDenied),
            }
            for keepalive in
                [TcpKeepalive::new().with_time(time), TcpKeepalive::new().with_interval(time)]
            {
                if let Err(error) = stream.set_keepalive(&keepalive) {
                    assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{time:?}");
                }
            }
        }
        for n in [0, 1, 64, 255, 256, 1 << 31, u32::MAX - 1, u32::MAX] {
            let before = stream.ttl().unwrap();
            match stream.set_ttl(n) {
                Ok(()) => assert_eq!(stream.ttl().unwrap(), n),
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
                    assert!(!(1..=255).contains(&n) && stream.ttl().unwrap() == before);
                }
            }
            if let Err(error) = stream.set_keepalive(&TcpKeepalive::new().with_retries(n)) {
                assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            }
        }
        stream.set_linger(None).unwrap();
    });
}

#[test]
fn attempts_to_connect_take_any_time() {
    // A pool that grows by as many as it may takes a thousand descriptors.
    in_own_process(|| {
        raise_descriptor_limit();
        struct Opened(mpsc::Sender<io::Result<()>>);
        impl EvHandler for Opened {
            fn on_open(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
                self.0.send(Ok(())).map_err(io::Error::other)?;
                Ok(Action::Close)
            }
            fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
                Ok(Action::Close)
            }
            fn on_connect_fail(&mut self, error: io::Error) {
                let _ = self.0.send(Err(error));
            }
        }
        // In time, or not: one or the other.
        let decided = |limit: Duration, result: io::Result<()>| match result {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::TimedOut);
                assert!(limit <= Duration::from_secs(1), "{limit:?}: {error}");
            }
        };
        let server = Server::start(1);
        let addr = server.listen(|| Echo);
        for limit in DURATIONS {
            let (said, told) = mpsc::channel();
            let connector = Connector::new(server.handle()).timeout(limit);
            connector.connect(addr, || Opened(said)).unwrap();
            decided(limit, told.recv_timeout(PATIENCE).unwrap());
            block_on(async {
                decided(limit, TcpStream::connect_timeout(addr, limit).await.map(drop));
                let pool = ConnectPool::builder(addr.to_string());
                let pool = pool.connect_timeout(limit).idle_timeout(limit).build();
                decided(limit, pool.get().await.map(|pooled| pooled.release()));
            });
        }
        for n in NUMBERS {
            block_on(async {
                let pool = ConnectPool::builder(addr.to_string()).grow_by(n).max_live(n).build();
                pool.get().await.unwrap().release();
                // As many as there is room for, and no more.
                let most = n.clamp(1, 4);
                let pool =
                    ConnectPool::builder(addr.to_string()).max_live(most).min_idle(n).build();
                pool.get().await.unwrap().release();
                assert!(pool.live() <= most);
            });
        }
    });
}

#[test]
fn a_stretch_of_a_file_ends_where_a_file_can() {
    struct Sends(mpsc::Sender<()>);
    impl EvHandler for Sends {
        fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
            let (most, file) = (i64::MAX as u64, File::open("Cargo.toml")?);
            // The first bytes wait, and the sums of the others pass 2⁶⁴.
            cx.write(&vec![b'x'; 4 << 20])?;
            let before = cx.pending_output();
            assert!(before > 0, "the peer doesn't read");
            for (offset, len) in [(u64::MAX, 1), (1, u64::MAX), (most, 1), (u64::MAX, u64::MAX)] {
                let error = cx.send_file(file.try_clone()?, offset, len).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
                assert_eq!(cx.pending_output(), before);
            }
            cx.send_file(file.try_clone()?, u64::MAX, 0).unwrap_err();
            for (offset, len) in [(0, 0), (most, 0), (0, most), (most - 1, 1), (1, most - 1)] {
                cx.send_file(file.try_clone()?, offset, len)?;
            }
            cx.send_file(file, 0, most)?;
            cx.write(b"x")?;
            assert!(cx.pending_output() > before);
            self.0.send(()).map_err(io::Error::other)?;
            Ok(Action::Keep)
        }
        fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
            Ok(Action::Close)
        }
    }
    let (said, told) = mpsc::channel();
    let (server, addr) = Server::of_handlers(move || Sends(said.clone()));
    let client = connect(addr);
    told.recv_timeout(PATIENCE).expect("no panic");
    drop((client, server));
}

#[cfg(feature = "test-util")]
#[test]
fn a_paused_clock_is_advanced_by_any_time() {
    within_patience(|| {
        block_on(async {
            time::pause();
            for duration in DURATIONS {
                let (before, sleep) = (time::now(), spawn_local(time::sleep(duration)));
                time::advance(duration).await;
                assert!(time::now() >= before);
                // What is never due isn't due at the end of time either.
                let comes = duration < Duration::from_secs(1 << 33);
                assert_eq!(sleep.is_finished(), comes, "{duration:?}");
            }
        });
    });
}

#[cfg(feature = "signal")]
#[test]
fn a_signal_is_one_or_an_error() {
    for signal in [i32::MIN, -1, 0, 9, 19, 65, i32::MAX] {
        let error = corepoll::signal::Signal::new([signal]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{signal}");
    }
    assert!(corepoll::signal::Signal::new([libc::SIGUSR2]).is_ok());
}
