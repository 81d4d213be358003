//! What has happened in a simulation.

use std::time::Duration;

use super::simulation::Simulation;
use super::svg;
use super::timeline::Timeline;
use crate::sys::sim::TraceLine;

impl Simulation {
    /// Keeps the lines of the trace, for [`Simulation::trace`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Simulation;
    /// let mut sim = Simulation::new(7);
    /// sim.keep_trace();
    /// ```
    pub fn keep_trace(&mut self) {
        self.kernel.borrow_mut().keep_trace();
    }

    /// Returns what has happened so far, a line each, if the lines are kept.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Simulation;
    /// # use corepoll::net::TcpListener;
    /// let mut sim = Simulation::new(7);
    /// sim.keep_trace();
    /// sim.client("client", async { TcpListener::bind("0.0.0.0:80").await.map(drop) });
    /// sim.run().unwrap();
    /// assert!(sim.trace()[0].contains("listens at 0.0.0.0:80"));
    /// ```
    pub fn trace(&self) -> Vec<String> {
        let kernel = self.kernel.borrow();
        let line = |line: &TraceLine| {
            let at = Duration::from_nanos(line.at);
            format!("{:>14.6} {:<10} {}", at.as_secs_f64(), kernel.name(line.host), line.text)
        };
        kernel.trace_lines().iter().map(line).collect()
    }

    /// Returns a hash of what has happened so far. The same seed and the same program give the same
    /// one, in one build of it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Simulation;
    /// let run = || {
    ///     let mut sim = Simulation::new(7);
    ///     sim.client("client", async { Ok(()) });
    ///     sim.run().unwrap();
    ///     sim.trace_hash()
    /// };
    /// assert_eq!(run(), run());
    /// ```
    pub fn trace_hash(&self) -> u64 {
        self.kernel.borrow().trace_hash()
    }

    /// Returns the number of steps so far: of calls and packets that have done something.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Simulation;
    /// assert_eq!(Simulation::new(7).steps(), 0);
    /// ```
    pub fn steps(&self) -> u64 {
        self.kernel.borrow().steps()
    }

    /// Returns a picture of what has happened so far, as SVG, if the lines of the trace are kept: a
    /// lane for each host, with the packets between them. Lost packets end in a cross. Bands show when
    /// a host was down, and when a link was cut or slow; dots what programs have noted, and what the
    /// simulation has failed by.
    ///
    /// Time goes down, in steps that grow with its logarithm. Of a long run the last 200 packets are
    /// shown. Packets that only confirm others are left out.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Simulation;
    /// let mut sim = Simulation::new(7);
    /// sim.keep_trace();
    /// sim.client("client", async { Ok(()) });
    /// sim.run().unwrap();
    /// # let path = std::env::temp_dir().join(format!("corepoll-{}.svg", std::process::id()));
    /// std::fs::write(&path, sim.trace_svg()).unwrap();
    /// # std::fs::remove_file(&path).unwrap();
    /// ```
    pub fn trace_svg(&self) -> String {
        let kernel = self.kernel.borrow();
        let timeline = Timeline::of(kernel.marks());
        let names: Vec<&str> = (0..kernel.hosts()).map(|host| kernel.name(host)).collect();
        let mut caption = format!("seed {}, {} steps", self.seed, kernel.steps());
        if timeline.left_out > 0 {
            let shown = timeline.arrows.len();
            let all = shown + timeline.left_out;
            caption += &format!("; the last {shown} of {all} packets");
        }
        svg::draw(&timeline, &names, &caption)
    }
}
