//! The picture of a trace.

use std::time::Duration;

use corepoll::net::TcpStream;
use corepoll::sim::{self, Faults, Simulation};
use corepoll::time;

use super::{add_echo, ask, ms};

/// Runs a program with a cut, a slow link and a crash, and returns its picture.
fn picture(seed: u64) -> String {
    let mut sim = Simulation::new(seed);
    sim.keep_trace();
    add_echo(&mut sim);
    sim.client("client <&>", async {
        for _ in 0..8 {
            let asked = async { ask(&mut TcpStream::connect("server:7").await?, b"hello").await };
            let answer = time::timeout(Duration::from_secs(2), asked).await;
            sim::control().note(format!("asked: {}", matches!(answer, Ok(Ok(())))));
            time::sleep(ms(500)).await;
        }
        Err(std::io::Error::other("the \"end\""))
    });
    let faults = Faults::default().latency(ms(1)..ms(50)).drop(0.1).reset(0.05);
    let faults = faults.partition("server", "client <&>", ms(1000)..ms(1500));
    let faults = faults.slow("server", "client <&>", ms(200)..ms(300), ms(3000)..ms(6000));
    sim.faults(faults.crash("server", ms(2000)..ms(2400)));
    sim.run().unwrap_err();
    sim.trace_svg()
}

/// How often `what` is in `text`.
fn count(text: &str, what: &str) -> usize {
    text.matches(what).count()
}

#[test]
fn it_has_a_lane_a_host_and_all_that_goes_wrong() {
    let svg = picture(3);
    assert_eq!(count(&svg, "class=\"lane\""), 2);
    for class in ["sent", "lost", "down", "cut", "slow", "note", "fault"] {
        assert!(count(&svg, &format!("class=\"{class}\"")) > 0, "{class}");
    }
    for text in ["SYN ACK", "5 B", "FIN", "client &lt;&amp;&gt;", "asked: true", "&quot;end&quot;"]
    {
        assert!(svg.contains(text), "{text}");
    }
    assert!(svg.contains("prefers-color-scheme:dark"));
}

#[test]
fn it_is_well_formed_and_the_same_for_a_seed() {
    for seed in 0..5 {
        let svg = picture(seed);
        assert_eq!(svg, picture(seed));
        let mut open = Vec::new();
        for tag in svg.split('<').skip(1) {
            let (tag, text) = tag.split_once('>').expect("each tag ends");
            assert!(!text.contains('&') || text.contains(';'), "{text}");
            let name = tag.split([' ', '/']).next().unwrap_or_default();
            match tag.strip_prefix('/') {
                Some(ended) => assert_eq!(open.pop().as_deref(), Some(ended)),
                None if tag.ends_with('/') => assert_eq!(count(tag, "\"") % 2, 0, "{tag}"),
                None => open.push(name.to_owned()),
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }
}

#[test]
fn a_long_run_shows_its_end() {
    let mut sim = Simulation::new(1);
    sim.keep_trace();
    add_echo(&mut sim);
    sim.client("client", async {
        let mut stream = TcpStream::connect("server:7").await?;
        for number in 0..1000 {
            sim::control().note(number);
            ask(&mut stream, b"hello").await?;
        }
        Err(std::io::Error::other("the end"))
    });
    sim.faults(Faults::default().latency(ms(1)..ms(50)));
    sim.run().unwrap_err();
    let svg = sim.trace_svg();
    assert!(svg.contains("the last 200 of 2002 packets"), "{}", &svg[..400]);
    assert!(svg.contains(">999<") && svg.contains("client: the end") && !svg.contains(">1<"));
}

#[test]
fn without_a_trace_it_is_empty() {
    let mut sim = Simulation::new(1);
    add_echo(&mut sim);
    sim.run().unwrap();
    assert_eq!(count(&sim.trace_svg(), "class=\"lane\""), 1);
}
