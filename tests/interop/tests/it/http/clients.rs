//! Clients of hyper, with the HTTP server of Python and with nghttpd.

use std::collections::HashSet;

use bytes::Bytes;
use corepoll::net::TcpStream;
use corepoll_hyper::{Connector, HyperIo, LocalExec, LocalTimer};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::client::legacy::Client;
use interop::{Folder, Peer, Port, Server, pattern, program, python, wait_for};

use super::LARGE;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The status, the version and the body of an answer.
async fn whole(
    response: Response<hyper::body::Incoming>,
) -> Result<(StatusCode, Version, Bytes), Error> {
    let (status, version) = (response.status(), response.version());
    Ok((status, version, response.into_body().collect().await?.to_bytes()))
}

#[test]
fn http_1_with_python() {
    let (port, folder) = (Port::free(), Folder::new());
    folder.write("small", "hello");
    folder.write("large", pattern(LARGE));
    let mut python = program("python3");
    python.args(["-u", "-m", "http.server", "--protocol", "HTTP/1.1", "--bind", "127.0.0.1"]);
    python.arg("--directory").arg(folder.path()).arg(port.to_string());
    let _server = Peer::start(&mut python).until_prints("Serving HTTP");

    let answers = wait_for(async {
        let stream = TcpStream::connect(port.addr()).await?;
        let (mut sender, connection) = http1::handshake(HyperIo::new(stream)).await?;
        let connection = corepoll::spawn_local(connection);
        let mut answers = Vec::new();
        // All on one connection.
        for path in ["/small", "/large", "/small", "/nowhere"] {
            sender.ready().await?;
            let request = Request::get(path).header("host", "localhost");
            let response = sender.send_request(request.body(Full::<Bytes>::default())?).await?;
            answers.push(whole(response).await?);
        }
        drop(sender);
        connection.await??;
        Ok::<_, Error>(answers)
    });
    let answers = answers.expect("no error");
    for (index, expected) in [(0, &b"hello"[..]), (1, &pattern(LARGE)), (2, b"hello")] {
        let (status, version, body) = &answers[index];
        assert_eq!((*status, *version), (StatusCode::OK, Version::HTTP_11));
        assert!(body == expected, "{index}: {} bytes", body.len());
    }
    assert_eq!(answers[3].0, StatusCode::NOT_FOUND);
}

#[test]
fn http_2_with_nghttpd() {
    let (port, folder) = (Port::free(), Folder::new());
    folder.write("small", "hello");
    folder.write("large", pattern(LARGE));
    let mut nghttpd = program("nghttpd");
    nghttpd.args(["--no-tls", "--echo-upload", "--address", "127.0.0.1", "-d"]);
    nghttpd.arg(folder.path()).arg(port.to_string());
    let _server = Peer::start(&mut nghttpd).until_listens(port.addr());

    let all = wait_for(async {
        let stream = TcpStream::connect(port.addr()).await?;
        stream.set_nodelay(true)?;
        let mut client = http2::Builder::new(LocalExec);
        let (sender, connection) = client.timer(LocalTimer).handshake(HyperIo::new(stream)).await?;
        let connection = corepoll::spawn_local(connection);
        // Fifty at once, and two large ones among them: a file, and a body that comes back.
        let ask = |method, path: &str, body: Bytes| {
            let mut sender = sender.clone();
            let request =
                Request::builder().method(method).uri(format!("http://{}{path}", port.addr()));
            corepoll::spawn_local(async move {
                whole(sender.send_request(request.body(Full::new(body))?).await?).await
            })
        };
        let mut asked: Vec<_> = (0..50).map(|_| ask(Method::GET, "/small", Bytes::new())).collect();
        asked.push(ask(Method::GET, "/large", Bytes::new()));
        asked.push(ask(Method::POST, "/echo", pattern(1 << 20).into()));
        let mut answers = Vec::new();
        for task in asked {
            answers.push(task.await??);
        }
        drop(sender);
        connection.await??;
        Ok::<_, Error>(answers)
    });
    let answers = all.expect("no error");
    assert_eq!(answers.len(), 52);
    for (index, (status, version, body)) in answers.iter().enumerate() {
        assert_eq!((*status, *version), (StatusCode::OK, Version::HTTP_2));
        let exact = match index {
            50 => *body == pattern(LARGE),
            51 => *body == pattern(1 << 20),
            _ => body == "hello",
        };
        assert!(exact, "{index}: {} bytes", body.len());
    }
}

#[test]
fn hyper_utils_client_keeps_connections_for_the_tasks_of_two_pollers() {
    const TASKS: usize = 8;
    const REQUESTS: usize = 50;
    let mut python = Peer::start(&mut python("http_ports.py"));
    let url = format!("http://{}/", python.port());
    let client = Client::builder(LocalExec).build::<_, Full<Bytes>>(Connector::new());
    let server = Server::start(2);
    // Each answer is the port that the request came from: the name of a connection.
    let ask = |client: Client<Connector, Full<Bytes>>, url: String| async move {
        let mut ports = Vec::new();
        for _ in 0..REQUESTS {
            let (status, _, port) = whole(client.get(url.parse()?).await?).await?;
            assert_eq!(status, StatusCode::OK);
            ports.push(port);
        }
        Ok::<_, Error>(ports)
    };
    let tasks = server.handle().pollers().iter().cycle().take(TASKS).map(|poller| {
        let (client, url) = (client.clone(), url.clone());
        poller.spawn_on(move || ask(client, url))
    });
    let answers = wait_for(futures::future::join_all(tasks.collect::<Vec<_>>()));
    let ports = answers.into_iter().flat_map(|task| task.expect("it ends").expect("no error"));
    let ports: Vec<_> = ports.collect();
    assert_eq!(ports.len(), TASKS * REQUESTS);
    // A task that finds none free connects, and takes the first that is there: the other stays too.
    let different = ports.iter().collect::<HashSet<_>>().len();
    assert!(different <= 2 * TASKS, "{different} connections");
}
