use std::net::SocketAddr;
use std::time::Duration;

use corepoll::PollerBound;
use corepoll::net::TcpStream;
use corepoll_tokio::TokioIo;
use futures::future::join_all;
use interop::{Folder, Peer, Port, Server, pattern, program, wait_for};
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, AsyncConnectionConfig, RedisConnectionInfo, RedisError};

use super::{Error, run_on, runtime};

/// A server that saves nothing.
struct Redis {
    _server: Peer,
    addr: SocketAddr,
    _port: Port,
    _folder: Folder,
}

impl Redis {
    fn start() -> Redis {
        let (port, folder) = (Port::free(), Folder::new());
        let mut server = program("redis-server");
        server.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", ""]);
        server.arg("--dir").arg(folder.path());
        let server = Peer::start(&mut server).until_prints("Ready to accept connections");
        Redis { _server: server, addr: port.addr(), _port: port, _folder: folder }
    }
}

/// Connects. A task of this poller moves the bytes; `timeout` is a timer of tokio's.
async fn connect(
    addr: SocketAddr,
    timeout: Option<Duration>,
) -> Result<MultiplexedConnection, Error> {
    let stream = TokioIo::new(PollerBound::new(TcpStream::connect(addr).await?));
    let config = AsyncConnectionConfig::new().set_response_timeout(timeout);
    let info = RedisConnectionInfo::default();
    let (client, driver) = MultiplexedConnection::new_with_config(&info, stream, config).await?;
    corepoll::spawn_local(driver);
    Ok(client)
}

/// Commands of one connection: alone, in a pipeline, in a transaction, large and wrong.
async fn commands(addr: SocketAddr, name: &str) -> Result<(), Error> {
    let mut client = connect(addr, None).await?;
    client.set::<_, _, ()>(name, "a value").await?;
    assert_eq!(client.get::<_, String>(name).await?, "a value");

    let mut pipeline = redis::pipe();
    let counter = format!("{name}:counter");
    for _ in 0..1000 {
        pipeline.incr(&counter, 1);
    }
    let counts: Vec<u32> = pipeline.query_async(&mut client).await?;
    assert_eq!(counts, (1..=1000).collect::<Vec<u32>>());

    let mut transaction = redis::pipe();
    transaction.atomic().incr(&counter, 1).incr(&counter, 1).ignore().get(&counter);
    let counts: (u32, u32) = transaction.query_async(&mut client).await?;
    assert_eq!(counts, (1001, 1002));

    let large = pattern(8 << 20);
    client.set::<_, _, ()>(name, &large).await?;
    let back: Vec<u8> = client.get(name).await?;
    assert!(back == large, "{} bytes came back", back.len());

    let wrong: Result<(), RedisError> = client.lpush(name, 1).await;
    assert_eq!(wrong.expect_err("it isn't a list").code(), Some("WRONGTYPE"));
    assert_eq!(client.strlen::<_, usize>(name).await?, large.len(), "the connection goes on");
    Ok(())
}

#[test]
fn a_connection_a_poller() {
    let redis = Redis::start();
    let (addr, pollers) = (redis.addr, Server::start(2));
    let tasks = ["one", "two"].into_iter().zip(pollers.handle().pollers());
    let tasks = tasks.map(|(name, poller)| poller.spawn_on(move || commands(addr, name)));
    for done in wait_for(join_all(tasks)) {
        done.expect("no panic").expect("the commands succeed");
    }
}

#[test]
fn one_connection_shared_by_two_pollers() {
    let redis = Redis::start();
    let (addr, pollers) = (redis.addr, Server::start(2));
    let client = run_on(pollers.poller(), move || connect(addr, None));
    let tasks = pollers.handle().pollers().iter().map(|poller| {
        let mut client = client.clone();
        poller.spawn_on(move || async move {
            let mut last = 0;
            for _ in 0..500 {
                let count: u32 = client.incr("counter", 1).await?;
                assert!(count > last);
                last = count;
            }
            Ok::<_, RedisError>(last)
        })
    });
    let done = wait_for(join_all(tasks)).into_iter().map(|last| last.unwrap().unwrap());
    assert_eq!(done.max(), Some(1000));
}

#[test]
fn its_timeouts_work_in_the_context_of_tokio() {
    let redis = Redis::start();
    let answer = runtime().wrap(async {
        let mut client = connect(redis.addr, Some(Duration::from_millis(50))).await?;
        // It waits for an element that never comes.
        let popped: Result<Vec<String>, RedisError> = client.blpop("nothing", 0.0).await;
        assert!(popped.expect_err("it takes too long").is_timeout());
        // A second connection, which the server hasn't stopped reading from.
        let mut client = connect(redis.addr, Some(interop::LONG)).await?;
        Ok::<String, Error>(redis::cmd("PING").query_async(&mut client).await?)
    });
    assert_eq!(wait_for(answer).expect("an answer"), "PONG");
}
