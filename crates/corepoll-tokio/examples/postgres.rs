//! Runs a query on PostgreSQL over a connection a poller, many times, and says how many rows came
//! and how long it took. The client is tokio-postgres; there is no runtime of tokio.
//!
//! ```text
//! cargo run -p corepoll-tokio --release --example postgres -- --user postgres \
//!     --query "SELECT generate_series(1, 100)"
//! ```

use std::error::Error as StdError;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use corepoll::net::TcpStream;
use corepoll::{Reactor, time};
use corepoll_tokio::TokioIo;
use futures::future::try_join_all;
use futures::stream::{self, StreamExt, TryStreamExt};
use tokio_postgres::{Client, Config, NoTls};

type Error = Box<dyn StdError + Send + Sync>;

/// Runs a query on PostgreSQL, over a connection a poller.
#[derive(Parser, Clone)]
#[command(name = "postgres")]
struct Options {
    /// Where the server listens
    #[arg(long, default_value = "127.0.0.1:5432")]
    server: SocketAddr,
    /// The user to log in as
    #[arg(long, default_value = "postgres")]
    user: String,
    /// The user's password, if the server asks for one
    #[arg(long, default_value = "")]
    password: String,
    /// The database [default: the one of the user's name]
    #[arg(long)]
    database: Option<String>,
    /// The query
    #[arg(long, default_value = "SELECT n, md5(n::text) FROM generate_series(1, 10) AS n")]
    query: String,
    /// How often each poller runs it
    #[arg(long, default_value_t = 10_000)]
    times: usize,
    /// How many queries a connection has under way at once
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pipeline: u16,
    /// How many pollers there are [default: one for each processor]
    #[arg(long)]
    pollers: Option<usize>,
}

/// Connects, and returns the client. A task of the poller moves its bytes.
async fn connect(options: &Options) -> Result<Client, Error> {
    let stream = TcpStream::connect(options.server).await?;
    stream.set_nodelay(true)?;
    let mut config = Config::new();
    config.user(&options.user).password(&options.password);
    if let Some(database) = &options.database {
        config.dbname(database);
    }
    let (client, connection) = config.connect_raw(TokioIo::new(stream), NoTls).await?;
    corepoll::spawn_local(async move {
        if let Err(error) = connection.await {
            eprintln!("postgres: the connection has failed: {}", with_causes(&error));
        }
    });
    Ok(client)
}

/// Runs the queries of one poller. Returns the number of rows.
async fn run(options: Options) -> Result<usize, Error> {
    let connecting = time::timeout(Duration::from_secs(10), connect(&options));
    let client = connecting.await.map_err(|_| format!("{} doesn't answer", options.server))??;
    let statement = client.prepare(&options.query).await?;
    let queries = (0..options.times).map(|_| client.query(&statement, &[]));
    // The client sends each query when its future is polled, and doesn't wait for the answers before.
    let rows = stream::iter(queries).buffer_unordered(options.pipeline.into());
    Ok(rows.try_fold(0, |count, rows| async move { Ok(count + rows.len()) }).await?)
}

/// Returns what has failed, and why. Some errors end with their cause, and some leave it out.
fn with_causes(error: &dyn StdError) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.map(|cause| cause.to_string()).fold(error.to_string(), |text, cause| {
        if text.ends_with(&cause) { text } else { format!("{text}: {cause}") }
    })
}

/// Runs the queries of all pollers.
fn run_all(options: &Options) -> Result<(), Error> {
    let mut builder = Reactor::builder();
    if let Some(count) = options.pollers {
        builder = builder.pollers(count);
    }
    let reactor = builder.build()?;
    let handle = reactor.handle();
    let running = reactor.start()?;

    let began = Instant::now();
    let tasks = handle.pollers().iter().map(|poller| {
        let options = options.clone();
        let task = poller.spawn_on(move || run(options));
        async move { task.await? }
    });
    let rows = corepoll::block_on(try_join_all(tasks));
    let seconds = began.elapsed().as_secs_f64();
    handle.shutdown(Duration::ZERO);
    running.join()?;

    let rows: Vec<usize> = rows?;
    for (poller, rows) in rows.iter().enumerate() {
        println!("poller {poller}: {} queries, {rows} rows", options.times);
    }
    let (queries, rows) = (options.times * rows.len(), rows.iter().sum::<usize>());
    println!("{queries} queries in {seconds:.3} s: {:.0} a second", queries as f64 / seconds);
    println!("{rows} rows: {:.0} a second", rows as f64 / seconds);
    Ok(())
}

fn main() -> ExitCode {
    match run_all(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("postgres: {}", with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}
