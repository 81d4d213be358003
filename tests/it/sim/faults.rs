//! What goes wrong in a simulation, and how programs hear of it.

use std::io::ErrorKind;
use std::time::Duration;

use corepoll::net::{TcpStream, UdpSocket};
use corepoll::sim::{self, Faults, Simulation};
use corepoll::time;
use futures::AsyncReadExt;

use super::{add_echo, ask, ms};

#[test]
fn nothing_listens_at_a_port() {
    let mut sim = Simulation::new(1);
    add_echo(&mut sim);
    sim.client("client", async {
        let error = TcpStream::connect("server:8").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let error = TcpStream::connect("nobody:8").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        // An address without a host: nothing ever answers.
        let error = TcpStream::connect("10.9.9.9:8").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        Ok(())
    });
    sim.run().unwrap();
}

#[test]
fn a_cut_link_delays_a_stream_until_it_heals() {
    let mut sim = Simulation::new(1);
    add_echo(&mut sim);
    sim.client("client", async {
        let mut stream = TcpStream::connect("server:7").await?;
        ask(&mut stream, b"before").await?;
        time::sleep(Duration::from_secs(10)).await;
        let cut = time::now();
        ask(&mut stream, b"during").await?;
        let passed = time::now() - cut;
        assert!(passed >= Duration::from_secs(20), "it took {passed:?}");
        Ok(())
    });
    let seconds = Duration::from_secs;
    sim.faults(Faults::default().latency(ms(1)..ms(2)).partition(
        "server",
        "client",
        seconds(5)..seconds(31),
    ));
    sim.run().unwrap();
}

#[test]
fn a_link_that_stays_cut_or_drops_all_ends_a_stream_as_on_linux() {
    let cut = Faults::default().partition("server", "client", ms(5000)..);
    for (faults, least, most) in [(cut, 900, 950), (Faults::default().drop(1.0), 120, 130)] {
        let mut sim = Simulation::new(1);
        add_echo(&mut sim);
        sim.client("client", async move {
            let start = time::now();
            let stream = TcpStream::connect("server:7").await;
            let ask_late = async {
                let mut stream = stream?;
                time::sleep(Duration::from_secs(10)).await;
                ask(&mut stream, b"never answered").await
            };
            assert_eq!(ask_late.await.unwrap_err().kind(), ErrorKind::TimedOut);
            let passed = (time::now() - start).as_secs();
            assert!((least..most).contains(&passed), "it took {passed} s");
            Ok(())
        });
        sim.faults(faults);
        sim.run().unwrap();
    }
}

#[test]
#[should_panic = "1.5 is no part"]
fn a_part_is_from_0_to_1() {
    drop(Faults::default().drop(1.5));
}

#[test]
fn a_connect_whose_answers_are_lost_times_out_as_on_linux() {
    let mut sim = Simulation::new(1);
    sim.keep_trace();
    add_echo(&mut sim);
    sim.client("client", async {
        corepoll::sim::control().partition_one_way("server", "client");
        let begun = time::now();
        let error = TcpStream::connect("server:7").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let seconds = (time::now() - begun).as_secs();
        assert_eq!(seconds, 127, "SYNs after 1, 3, 7, 15, 31 and 63 seconds");
        corepoll::sim::control().heal("server", "client");
        ask(&mut TcpStream::connect("server:7").await?, b"hello").await
    });
    sim.run().unwrap();
    let lines = sim.trace();
    let forgotten = lines.iter().find(|line| line.ends_with("is forgotten half-open")).unwrap();
    assert!(forgotten.trim_start().starts_with("63."), "{forgotten}");
}

#[test]
fn a_host_crashes_and_comes_back() {
    for seed in 0..50 {
        let mut sim = Simulation::new(seed);
        add_echo(&mut sim);
        sim.client("client", async {
            let mut stream = TcpStream::connect("server:7").await?;
            ask(&mut stream, b"before").await?;
            time::sleep(Duration::from_secs(10)).await;
            // The host that has come back knows nothing of the connection.
            let error = ask(&mut stream, b"after").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            let mut stream = TcpStream::connect("server:7").await?;
            ask(&mut stream, b"again").await
        });
        let down = Faults::default().crash("server", ms(5000)..ms(5900));
        sim.faults(down.latency(ms(1)..=ms(9)));
        sim.run().unwrap();
    }
}

#[test]
fn the_network_resets_connections() {
    let mut resets = 0;
    for seed in 0..50 {
        let mut sim = Simulation::new(seed);
        add_echo(&mut sim);
        let (tell, told) = std::sync::mpsc::channel();
        sim.client("client", async move {
            let mut stream = TcpStream::connect("server:7").await?;
            for _ in 0..20 {
                if let Err(error) = ask(&mut stream, b"hello").await {
                    let _ = tell.send(error.kind());
                    return Ok(());
                }
            }
            Ok(())
        });
        sim.faults(Faults::default().latency(ms(1)..ms(9)).reset(0.01));
        sim.run().unwrap();
        for kind in told {
            assert!(matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{kind:?}");
            resets += 1;
        }
    }
    assert!(resets > 0, "no connection was reset");
}

#[test]
fn urgent_bytes_are_no_part_of_a_stream() {
    for seed in 0..20 {
        let mut sim = Simulation::new(seed);
        sim.keep_trace();
        add_echo(&mut sim);
        sim.client("client", async {
            let mut stream = TcpStream::connect("server:7").await?;
            for length in 1..50 {
                ask(&mut stream, &vec![1; length]).await?;
            }
            Ok(())
        });
        sim.faults(Faults::default().latency(ms(1)..ms(9)).urgent(0.3).short_io(0.2));
        sim.run().unwrap();
        assert!(sim.trace().iter().any(|line| line.ends_with("adds an urgent byte")));
    }
}

#[test]
fn a_listener_without_descriptors_serves_later() {
    for seed in 0..20 {
        let mut sim = Simulation::new(seed);
        add_echo(&mut sim);
        sim.client("client", async {
            for _ in 0..20 {
                // The connect may have no descriptor either.
                let Ok(mut stream) = TcpStream::connect("server:7").await else { continue };
                ask(&mut stream, b"hello").await?;
                drop(stream.read(&mut []).await);
            }
            Ok(())
        });
        sim.faults(Faults::default().latency(ms(1)..ms(9)).emfile(0.2));
        match sim.run() {
            Ok(()) => {}
            // A poller that can't be made at all is an end of the program.
            Err(failure) => assert!(failure.to_string().contains("os error 24"), "{failure}"),
        }
    }
}

#[test]
fn a_listener_whose_accepts_fail_serves_all_the_same() {
    for seed in 0..20 {
        let mut sim = Simulation::new(seed);
        sim.host("server", || async {
            let reactor = corepoll::Reactor::builder().pollers(2).build()?;
            let _listening = reactor.handle().serve("0.0.0.0:7", |stream, _| async move {
                futures::io::copy(&stream, &mut &stream).await
            })?;
            let _running = reactor.start()?;
            std::future::pending().await
        });
        sim.client("client", async {
            for _ in 0..20 {
                ask(&mut TcpStream::connect("server:7").await?, b"hello").await?;
            }
            Ok(())
        });
        sim.faults(Faults::default().latency(ms(1)..ms(9)).accept_error(0.5));
        sim.run().unwrap();
    }
}

#[test]
fn a_listener_that_is_refused_each_accept_waits_without_spinning() {
    let mut sim = Simulation::new(1);
    add_reactor(&mut sim);
    sim.client("client", async {
        time::sleep(ms(100)).await;
        let mut stream = TcpStream::connect("server:7").await?;
        let begun = time::now();
        ask(&mut stream, b"hello").await?;
        let passed = time::now() - begun;
        assert!(passed > ms(800) && passed < ms(2500), "it took {passed:?}");
        Ok(())
    });
    sim.faults(Faults::default().refuse_accept(ms(50)..ms(1000)));
    sim.run().unwrap();
    assert!(sim.steps() < 500, "{} steps", sim.steps());
}

/// Adds a host that serves an echo on a reactor, once it may listen.
fn add_reactor(sim: &mut Simulation) {
    sim.host("server", || async {
        let reactor = corepoll::Reactor::builder().pollers(1).build()?;
        let serve = || {
            reactor.handle().serve("0.0.0.0:7", |stream, _| async move {
                futures::io::copy(&stream, &mut &stream).await
            })
        };
        let _listening = loop {
            match serve() {
                Err(error) if error.kind() == ErrorKind::AddrInUse => return Err(error),
                Err(_) => time::sleep(ms(1)).await,
                Ok(listening) => break listening,
            }
        };
        let _running = reactor.start()?;
        std::future::pending().await
    });
}

#[test]
fn what_epoll_does_not_take_is_an_error_and_leaves_nothing() {
    let mut failures = 0;
    for seed in 0..100 {
        let mut sim = Simulation::new(seed);
        add_reactor(&mut sim);
        let (tell, told) = std::sync::mpsc::channel();
        sim.client("client", async move {
            time::sleep(ms(50)).await;
            for _ in 0..10 {
                let asked =
                    async { ask(&mut TcpStream::connect("server:7").await?, b"hello").await };
                // One that is not accepted is closed.
                if let Err(error) = asked.await {
                    let _ = tell.send(error.kind());
                }
            }
            Ok(())
        });
        sim.faults(Faults::default().latency(ms(1)..ms(9)).epoll_error(0.1));
        match sim.run() {
            // A poller that can't watch its own bell doesn't begin.
            Err(failure) => assert!(
                ["(os error 28)", "(os error 12)"].iter().any(|end| failure.message.ends_with(end)),
                "{failure}"
            ),
            Ok(()) => failures += told.try_iter().count(),
        }
    }
    assert!(failures > 20, "{failures} connections have failed");
}

#[test]
fn a_host_has_no_more_descriptors_than_it_may_have() {
    let mut sim = Simulation::new(1);
    add_echo(&mut sim);
    sim.client("client", async {
        sim::control().limit_descriptors("client", 50);
        let mut sockets = Vec::new();
        let error = loop {
            match UdpSocket::bind("0.0.0.0:0").await {
                Ok(socket) => sockets.push(socket),
                Err(error) => break error,
            }
        };
        assert!(error.to_string().contains("os error 24"), "{error}");
        assert!((30..50).contains(&sockets.len()), "{} of 50 are its own", sockets.len());
        // One that is closed makes room for one, of any kind.
        drop(sockets.pop());
        let mut stream = TcpStream::connect("server:7").await?;
        ask(&mut stream, b"the last").await?;
        assert!(UdpSocket::bind("0.0.0.0:0").await.is_err());
        sim::control().limit_descriptors("client", usize::MAX);
        UdpSocket::bind("0.0.0.0:0").await.map(drop)
    });
    sim.run().unwrap();
}
