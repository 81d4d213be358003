//! The command line of `versus compare`.

use std::path::{Path, PathBuf};

use lexopt::prelude::*;

use super::candidate::Candidate;
use crate::args::{Error, failure};
use crate::peers::Peer;

pub(super) const HELP: &str = "\
versus compare [options]
  --quick              the cells that say most, within five minutes: --rounds 3 --minutes 4.5
  --minutes N          how long the whole may take; default 20. The turns are as long as that allows
  --rounds N           how many turns each server has in a cell; default 5
  --cells A,B,..       default all; --list names them
  --servers A,B,..     of this build; the first is what the others are held against. Default: all
                       but bare-threaded and tokio-shared
  --extra NAME=COMMAND a server by its command line; may be repeated. {addr}, {ip}, {port}, {threads}
                       and {protocol} (plaintext, echo or mixed) are replaced. It is ready when it
                       accepts, and is ended by SIGTERM. Without {protocol} it is asked for HTTP
                       alone, and without {threads} it is left out where a server is to have two
  --extras FILE        such servers, NAME=COMMAND on a line each
  --out DIR            where tables, charts and samples go; default target/versus
  --readme             also writes the charts of the README into benches/versus/charts
  --from FILE          measures nothing: writes tables and charts from a results.json
  --load PROGRAM       the load generator; default: builds corepoll-load by cargo
  --list               names cells and servers";

/// What to compare.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) minutes: f64,
    pub(super) rounds: usize,
    /// Only the cells that say most, unless some are named.
    pub(super) quick: bool,
    pub(super) cells: Option<Vec<String>>,
    pub(super) candidates: Vec<Candidate>,
    pub(super) out: PathBuf,
    pub(super) readme: bool,
    pub(super) from: Option<PathBuf>,
    pub(super) load: Option<PathBuf>,
    pub(super) list: bool,
}

/// Returns what the options ask for; None: help.
pub(super) fn read(mut parser: lexopt::Parser) -> Result<Option<Options>, Error> {
    let mut options = Options {
        minutes: 20.0,
        rounds: 5,
        quick: false,
        cells: None,
        candidates: Vec::new(),
        out: workspace().join("target/versus"),
        readme: false,
        from: None,
        load: None,
        list: false,
    };
    let (mut servers, mut extras) = (None, Vec::new());
    while let Some(arg) = parser.next()? {
        match arg {
            Long("quick") => {
                (options.quick, options.rounds, options.minutes) = (true, 3, 4.5);
            }
            Long("minutes") => options.minutes = parser.value()?.parse()?,
            Long("rounds") => options.rounds = parser.value()?.parse()?,
            Long("cells") => options.cells = Some(names(&mut parser)?),
            Long("servers") => servers = Some(names(&mut parser)?),
            Long("extra") => extras.push(Candidate::parse(&parser.value()?.string()?)?),
            Long("extras") => extras.extend(read_extras(parser.value()?.into())?),
            Long("out") => options.out = parser.value()?.into(),
            Long("readme") => options.readme = true,
            Long("from") => options.from = Some(parser.value()?.into()),
            Long("load") => options.load = Some(parser.value()?.into()),
            Long("list") => options.list = true,
            Long("help") => return Ok(None),
            other => return Err(other.unexpected().into()),
        }
    }
    if options.rounds == 0 || options.minutes.is_nan() || options.minutes <= 0.0 {
        return Err(failure("--rounds and --minutes must be above zero"));
    }
    options.candidates = match servers {
        Some(names) => names.iter().map(|name| name.parse().map(peer)).collect::<Result<_, _>>()?,
        None => Peer::ALL.iter().copied().filter(|peer| !is_variant(*peer)).map(peer).collect(),
    };
    options.candidates.extend(extras);
    check_names(&options.candidates)?;
    Ok(Some(options))
}

/// The folder of the charts that README.md shows.
pub(super) fn readme_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("charts")
}

/// The folder of the workspace that this program was built from.
pub(super) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").components().as_path().to_owned()
}

fn peer(peer: Peer) -> Candidate {
    Candidate::of_peer(peer)
}

/// Whether a peer answers a question of its own, and is left out where none is named.
fn is_variant(peer: Peer) -> bool {
    matches!(peer, Peer::BareThreaded | Peer::TokioShared)
}

fn names(parser: &mut lexopt::Parser) -> Result<Vec<String>, Error> {
    let names = parser.value()?.string()?;
    Ok(names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

/// Reads servers from the lines of a file. A line that begins with `#` is a comment.
fn read_extras(file: PathBuf) -> Result<Vec<Candidate>, Error> {
    let lines = super::read(&file)?;
    let lines = lines.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(Candidate::parse).collect()
}

/// Two servers of one name could not be told apart in the tables.
fn check_names(candidates: &[Candidate]) -> Result<(), Error> {
    for (at, candidate) in candidates.iter().enumerate() {
        if candidates[..at].iter().any(|before| before.name == candidate.name) {
            return Err(failure(format!("two servers are named {:?}", candidate.name)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(arguments: &[&str]) -> Result<Option<Options>, Error> {
        read(lexopt::Parser::from_args(arguments))
    }

    #[test]
    fn the_first_server_that_is_named_comes_first() {
        let read = options(&["--servers", "tokio,bare", "--extra", "go=server {addr}"]);
        let names: Vec<_> =
            read.unwrap().unwrap().candidates.into_iter().map(|it| it.name).collect();
        assert_eq!(names, ["tokio", "bare", "go"]);
    }

    #[test]
    fn quick_ends_within_five_minutes() {
        let quick = options(&["--quick"]).unwrap().unwrap();
        assert!(quick.quick && quick.minutes < 5.0);
    }

    #[test]
    fn what_makes_no_sense_is_an_error() {
        for wrong in [
            &["--servers", "no-such-peer"][..],
            &["--extra", "no command"],
            &["--extra", "bare=a server by that name"],
            &["--rounds", "0"],
            &["--minutes", "NaN"],
            &["--unknown"],
        ] {
            options(wrong).expect_err("it is wrong");
        }
    }
}
