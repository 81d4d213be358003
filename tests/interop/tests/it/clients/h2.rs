use std::net::SocketAddr;

use bytes::Bytes;
use corepoll::net::TcpStream;
use corepoll_tokio::TokioIo;
use futures::future::join_all;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{Request, Response};
use interop::{Folder, Peer, Port, Server, pattern, program, wait_for};

use super::Error;

/// More than the first window of a connection, which is 65,535 bytes.
const LENGTH: usize = 1 << 20;

/// Receives a body, and opens the window for what has come.
async fn receive(mut body: RecvStream) -> Result<Vec<u8>, Error> {
    let mut received = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        received.extend_from_slice(&data);
    }
    Ok(received)
}

/// Sends a body, as much at once as the window has room for.
async fn send(mut stream: SendStream<Bytes>, mut body: Bytes) -> Result<(), Error> {
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
        let room = room.ok_or("the peer has reset the stream")??;
        stream.send_data(body.split_to(room.min(body.len())), false)?;
    }
    stream.send_data(body, true)?;
    Ok(())
}

/// Answers with the body of the request, or with [`LENGTH`] bytes if it has none.
async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> Result<(), Error> {
    let mut body = receive(request.into_body()).await?;
    if body.is_empty() {
        body = pattern(LENGTH);
    }
    let stream = respond.send_response(Response::new(()), false)?;
    send(stream, body.into()).await
}

/// Serves a connection: a task for each request.
async fn serve(stream: TcpStream) -> Result<(), Error> {
    let mut connection = h2::server::handshake(TokioIo::new(stream)).await?;
    while let Some(accepted) = connection.accept().await {
        let (request, respond) = accepted?;
        // The client sees an answer that isn't whole.
        corepoll::spawn_local(async move { drop(answer(request, respond).await) });
    }
    Ok(())
}

#[test]
fn nghttp_gets_and_posts() {
    let (_server, addr) = Server::of_tasks(|stream, _| serve(stream));
    let url = format!("http://{addr}/");
    let got = Peer::run(program("nghttp").arg(&url), b"");
    assert!(got.status.success(), "{}", got.text());
    assert!(got.stdout == pattern(LENGTH), "{} bytes came", got.stdout.len());

    let folder = Folder::new();
    folder.write("body", pattern(3 * LENGTH));
    let body = folder.join("body");
    let posted = Peer::run(program("nghttp").arg("-d").arg(body).arg(&url), b"");
    assert!(posted.status.success(), "{}", posted.text());
    assert!(posted.stdout == pattern(3 * LENGTH), "{} bytes came back", posted.stdout.len());
}

#[test]
fn h2load_gets_all_its_answers() {
    let (_server, addr) = Server::of_tasks(|stream, _| serve(stream));
    let mut load = program("h2load");
    load.args(["-n", "40", "-c", "2", "-m", "10", &format!("http://{addr}/")]);
    let printed = Peer::run(&mut load, b"").success();
    assert!(printed.contains("40 succeeded, 0 failed, 0 errored"), "{printed}");
}

/// Gets a file 8 times at once over one connection.
async fn get(addr: SocketAddr) -> Result<Vec<Vec<u8>>, Error> {
    let stream = TokioIo::new(TcpStream::connect(addr).await?);
    let (client, connection) = h2::client::handshake(stream).await?;
    let task = corepoll::spawn_local(connection);
    let client = client.ready().await?;
    let requests = (0..8).map(|_| {
        let mut client: h2::client::SendRequest<Bytes> = client.clone();
        async move {
            let request = Request::get(format!("http://{addr}/file")).body(())?;
            let (response, _stream) = client.send_request(request, true)?;
            let response = response.await?;
            assert_eq!(response.status(), 200);
            receive(response.into_body()).await
        }
    });
    let bodies = join_all(requests).await;
    drop(client); // The last one: the connection ends.
    task.await??;
    bodies.into_iter().collect()
}

#[test]
fn a_client_gets_files_from_nghttpd() {
    let (port, folder) = (Port::free(), Folder::new());
    folder.write("file", pattern(LENGTH));
    let mut server = program("nghttpd");
    server.args(["--no-tls", "-a", "127.0.0.1", "-d"]).arg(folder.path()).arg(port.to_string());
    let _server = Peer::start(&mut server).until_listens(port.addr());
    let bodies = wait_for(get(port.addr())).expect("answers");
    assert_eq!(bodies.len(), 8);
    assert!(bodies.iter().all(|body| *body == pattern(LENGTH)), "each is the file");
}
