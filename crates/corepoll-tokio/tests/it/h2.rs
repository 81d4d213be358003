//! h2 on the adapter, against h2 on a runtime of tokio.

use std::net::TcpListener as StdListener;
use std::pin::Pin;
use std::thread;

use bytes::Bytes;
use corepoll::net::{TcpListener, TcpStream};
use corepoll_tokio::TokioIo;
use futures::future::join_all;
use h2::{RecvStream, SendStream};
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::support::{pattern, wait_for};

/// More than the windows of a stream and of a connection, so that they have to be opened again.
const LENGTH: usize = 300_000;

/// As many streams of one connection at once.
const STREAMS: usize = 8;

type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, Error>;

/// Receives a body, and opens the window for what has been taken.
async fn receive(mut body: RecvStream) -> Result<Vec<u8>> {
    let mut received = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        received.extend_from_slice(&data);
    }
    Ok(received)
}

/// Sends a body, as much at once as the window has room for.
async fn send(mut stream: SendStream<Bytes>, mut body: Bytes) -> Result<()> {
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
        let room = room.ok_or("the stream has ended")??;
        stream.send_data(body.split_to(room.min(body.len())), false)?;
    }
    stream.send_data(Bytes::new(), true)?;
    Ok(())
}

/// Answers each request with its body, in a task that `spawn` makes, until the client ends the
/// connection. Returns the number of requests.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    spawn: impl Fn(Pin<Box<dyn Future<Output = ()>>>),
) -> Result<usize> {
    let mut connection = h2::server::handshake(stream).await?;
    let mut count = 0;
    while let Some(accepted) = connection.accept().await {
        let (request, mut respond) = accepted?;
        count += 1;
        spawn(Box::pin(async move {
            let answer = async {
                let body = receive(request.into_body()).await?;
                let stream = respond.send_response(Response::new(()), false)?;
                send(stream, body.into()).await
            };
            // The client hears of an error by itself: its answer isn't whole.
            let _ = answer.await;
        }));
    }
    Ok(count)
}

/// Sends requests at once. Returns whether each answer is what was sent.
async fn ask(stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<Vec<bool>> {
    let (client, connection) = h2::client::handshake(stream).await?;
    let body = Bytes::from(pattern(LENGTH));
    let exchange = |mut client: h2::client::SendRequest<Bytes>, body: Bytes| async move {
        let request = Request::post("http://localhost/").body(())?;
        let (response, stream) = client.send_request(request, false)?;
        let answer = async { receive(response.await?.into_body()).await };
        let (sent, received) = futures::join!(send(stream, body.clone()), answer);
        sent?;
        Ok::<_, Error>(received? == body)
    };
    let requests = async move {
        // Until the peer's settings are known, a connection has room for one stream only.
        let client = client.ready().await?;
        let equal = join_all((0..STREAMS).map(|_| exchange(client.clone(), body.clone()))).await;
        drop(client); // The last one: the connection ends.
        equal.into_iter().collect()
    };
    let (ended, equal) = futures::join!(connection, requests);
    ended?;
    equal
}

/// Runs a future on a thread with a runtime of tokio.
fn on_tokio<T: Send + 'static, F: Future<Output = T>>(
    make: impl FnOnce() -> F + Send + 'static,
) -> thread::JoinHandle<T> {
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let tasks = tokio::task::LocalSet::new();
        tasks.block_on(&runtime.expect("a runtime"), make())
    })
}

#[test]
fn a_client_on_a_poller_talks_to_a_server_on_tokio() {
    let listener = StdListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = on_tokio(move || async move {
        listener.set_nonblocking(true)?;
        let (stream, _peer) = tokio::net::TcpListener::from_std(listener)?.accept().await?;
        serve(stream, |answer| drop(tokio::task::spawn_local(answer))).await
    });
    let equal = wait_for(async {
        let stream = TcpStream::connect(address).await.expect("a connection");
        ask(TokioIo::new(stream)).await.expect("answers")
    });
    assert_eq!(equal, [true; STREAMS]);
    assert_eq!(server.join().expect("no panic").expect("served"), STREAMS);
}

#[test]
fn a_server_on_a_poller_answers_a_client_on_tokio() {
    let served = wait_for(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let client = on_tokio(move || async move {
            let stream = tokio::net::TcpStream::connect(address).await?;
            ask(stream).await
        });
        let (stream, _peer) = listener.accept().await.expect("a connection");
        let served = serve(TokioIo::new(stream), |answer| drop(corepoll::spawn_local(answer)));
        let served = served.await.expect("served");
        let equal = client.join().expect("no panic").expect("answers");
        assert_eq!(equal, [true; STREAMS]);
        served
    });
    assert_eq!(served, STREAMS);
}
