use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;

use corepoll::net::TcpStream;
use corepoll_tokio::TokioIo;
use futures::future::{join_all, try_join_all};
use interop::{Finished, Folder, Peer, Port, Server, common, pattern, program_as, wait_for};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls};

use super::{Error, run_on};

/// A server with an empty database.
struct Postgres {
    server: Peer,
    addr: SocketAddr,
    _port: Port,
    _folder: Folder,
}

impl Postgres {
    fn start() -> Postgres {
        let (port, folder) = (Port::free(), Folder::of("postgres"));
        let data = folder.join("data");
        let mut made = program_as("postgres", "initdb");
        made.args(["--username=postgres", "--auth=trust", "--no-sync", "--no-instructions"]);
        made.args(["--encoding=UTF8", "--locale=C"]);
        Peer::run(made.arg("-D").arg(&data).current_dir("/"), b"").success();
        let mut server = program_as("postgres", "postgres");
        server.arg("-D").arg(&data).args(["-p", &port.to_string(), "-F"]).current_dir("/");
        server.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
        let server = Peer::start(&mut server).until_prints("ready to accept connections");
        Postgres { server, addr: port.addr(), _port: port, _folder: folder }
    }

    /// Ends the server, which waits for its clients to go.
    fn stop(self) {
        self.server.terminate();
        self.server.finish().success();
    }
}

/// Connects. A task of this poller moves the bytes.
async fn connect(addr: SocketAddr) -> Result<Client, Error> {
    let stream = TokioIo::new(TcpStream::connect(addr).await?);
    let (client, connection) = Config::new().user("postgres").connect_raw(stream, NoTls).await?;
    corepoll::spawn_local(async move { connection.await.expect("the connection works") });
    Ok(client)
}

/// Queries of one connection: under way at once, large, failing, and cancelled by a second connection.
async fn queries(addr: SocketAddr) -> Result<(), Error> {
    let client = connect(addr).await?;
    client.batch_execute("CREATE TEMPORARY TABLE numbers (n int8 PRIMARY KEY)").await?;
    let insert = client.prepare("INSERT INTO numbers VALUES ($1)").await?;
    let numbers: Vec<i64> = (1..=1000).collect();
    let parameters: Vec<[&(dyn tokio_postgres::types::ToSql + Sync); 1]> =
        numbers.iter().map(|n| [n as _]).collect();
    let inserted = parameters.iter().map(|parameters| client.execute(&insert, parameters));
    assert_eq!(try_join_all(inserted).await?, [1; 1000]);
    let sum: i64 = client.query_one("SELECT sum(n)::int8 FROM numbers", &[]).await?.get(0);
    assert_eq!(sum, 500_500);

    let error = client.execute(&insert, &[&7_i64]).await.expect_err("the key is there");
    assert_eq!(error.code(), Some(&SqlState::UNIQUE_VIOLATION));

    let large = pattern(4 << 20);
    let row = client.query_one("SELECT $1::bytea, md5($1::bytea)", &[&large]).await?;
    assert!(row.get::<_, &[u8]>(0) == large, "the bytes come back as they were");

    let cancel = client.cancel_token();
    let (slept, cancelled) = futures::join!(client.batch_execute("SELECT pg_sleep(1000)"), async {
        let stream = TcpStream::connect(addr).await?;
        // A request that overtakes the query has no effect.
        while client_is_idle(addr).await? {}
        cancel.cancel_query_raw(TokioIo::new(stream), NoTls).await?;
        Ok::<_, Error>(())
    });
    cancelled?;
    assert_eq!(slept.expect_err("it is cancelled").code(), Some(&SqlState::QUERY_CANCELED));
    let one: i32 = client.query_one("SELECT 1", &[]).await?.get(0);
    assert_eq!(one, 1, "the connection goes on");
    Ok(())
}

/// Returns `true` until a connection of the server sleeps.
async fn client_is_idle(addr: SocketAddr) -> Result<bool, Error> {
    let client = connect(addr).await?;
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'";
    Ok(client.query_one(sleeping, &[]).await?.get::<_, i64>(0) == 0)
}

#[test]
fn a_connection_a_poller() {
    let postgres = Postgres::start();
    let (addr, pollers) = (postgres.addr, Server::start(2));
    let tasks = pollers.handle().pollers().iter().map(|it| it.spawn_on(move || queries(addr)));
    for done in wait_for(join_all(tasks)) {
        done.expect("no panic").expect("the queries succeed");
    }
    postgres.stop();
}

#[test]
fn one_client_shared_by_two_pollers() {
    let postgres = Postgres::start();
    let (addr, pollers) = (postgres.addr, Server::start(2));
    let client = Arc::new(run_on(pollers.poller(), move || connect(addr)));
    let tasks = pollers.handle().pollers().iter().enumerate().map(|(poller, it)| {
        let client = Arc::clone(&client);
        it.spawn_on(move || async move {
            let statement = client.prepare("SELECT $1::int8 * 2").await?;
            let mut sum = 0;
            for n in 0..300 {
                let n = (1000 * poller + n) as i64;
                let doubled: i64 = client.query_one(&statement, &[&n]).await?.get(0);
                assert_eq!(doubled, 2 * n);
                sum += doubled;
            }
            Ok::<i64, tokio_postgres::Error>(sum)
        })
    });
    let sums: Vec<i64> =
        wait_for(join_all(tasks)).into_iter().map(|sum| sum.unwrap().unwrap()).collect();
    assert_eq!(sums, [89_700, 689_700]);
    drop(client);
    postgres.stop();
}

/// Queries of sqlx, whose sockets are async-io's: its thread wakes the task of the poller.
async fn queries_of_sqlx(addr: SocketAddr) -> Result<i64, Error> {
    let options = PgConnectOptions::new().host("127.0.0.1").port(addr.port()).username("postgres");
    let options = options.ssl_mode(PgSslMode::Disable);
    let pool = PgPoolOptions::new().max_connections(2).connect_with(options).await?;
    let sums = (1..=100_i64).map(|last| {
        let sum = "SELECT sum(n)::int8 FROM generate_series(1, $1) AS n";
        sqlx::query_scalar::<_, i64>(sum).bind(last).fetch_one(&pool)
    });
    let sums = try_join_all(sums).await?;
    pool.close().await;
    Ok(sums.into_iter().sum())
}

#[test]
fn a_pool_of_sqlx_a_poller() {
    let postgres = Postgres::start();
    let (addr, pollers) = (postgres.addr, Server::start(2));
    let tasks = pollers.handle().pollers().iter();
    let tasks = tasks.map(|poller| poller.spawn_on(move || queries_of_sqlx(addr)));
    for sum in wait_for(join_all(tasks)) {
        assert_eq!(sum.expect("no panic").expect("the queries succeed"), 171_700);
    }
    postgres.stop();
}

/// Runs the example of `corepoll-tokio`.
fn example(arguments: &[&str]) -> Finished {
    Peer::run(Command::new(env!("CARGO_BIN_EXE_example-postgres")).args(arguments), b"")
}

#[test]
fn the_example_counts_the_rows_of_all_pollers() {
    let postgres = Postgres::start();
    let addr = postgres.addr.to_string();
    let arguments = ["--pollers", "2", "--times", "50", "--pipeline", "8", "--server", &addr];
    let printed = example(&arguments).success();
    assert!(printed.contains("poller 1: 50 queries, 500 rows\n"), "{printed}");
    assert!(printed.contains("\n100 queries in "), "{printed}");
    assert!(printed.contains("\n1000 rows: "), "{printed}");

    let arguments = ["--pollers", "1", "--server", &addr, "--query", "SELECT nothing"];
    let failed = example(&arguments);
    assert!(!failed.status.success());
    assert_eq!(
        failed.text(),
        "postgres: db error: ERROR: column \"nothing\" does not exist\n",
        "what the server says"
    );
    postgres.stop();
}

#[test]
fn the_example_says_that_there_is_no_server() {
    let (addr, _held) = common::closed_port();
    let failed = example(&["--pollers", "2", "--server", &addr]);
    assert!(!failed.status.success());
    let expected = format!("postgres: connecting to {addr}: Connection refused (os error 111)\n");
    assert_eq!(failed.text(), expected);
}
