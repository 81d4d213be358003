//! What services are told, and who hears of their faults.

use std::io::{self, ErrorKind};
use std::sync::mpsc;

use corepoll::{Listening, spawn_local};
use corepoll_hyper::{ConnectInfo, Server, UpgradedIo, serve};
use futures::AsyncWriteExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};

use crate::common::{Client, PATIENCE, Site, Text, on_tokio};
use crate::http2::connect;

#[test]
fn a_request_is_told_from_where_it_comes() {
    let site = Site::start(2);
    let service = service_fn(async |request: Request<Incoming>| {
        let info = request.extensions().get::<ConnectInfo>();
        let info = info.map(|info| format!("{} {} {}", info.peer, info.local, info.poller < 2));
        io::Result::Ok(Response::new(Text::from(info.unwrap_or_default())))
    });
    // A listener at every address has to ask for its own.
    for addr in ["127.0.0.1:0", "0.0.0.0:0"] {
        let listening = serve(&site.handle(), addr, service).expect("it listens");
        let port = listening.local_addr().expect("an address").port();
        let mut client = Client::connect(([127, 0, 0, 1], port).into());
        let here = client.stream().local_addr().expect("an address");
        assert_eq!(client.get("/").body, format!("{here} 127.0.0.1:{port} true"));
    }
    let server = Server::new().connect_info(false);
    let listening = server.serve(&site.handle(), "127.0.0.1:0", service).expect("it listens");
    assert_eq!(Client::connect(listening.local_addr().unwrap()).get("/").body, "");
}

/// Serves a service that fails where `/fail` is asked for.
fn serve_failing(site: &Site, server: Server) -> Listening {
    let service = service_fn(async |request: Request<Incoming>| match request.uri().path() {
        "/fail" => Err(io::Error::new(ErrorKind::NotFound, "no such thing")),
        path => Ok(Response::new(Text::from(path.to_owned()))),
    });
    server.serve(&site.handle(), "127.0.0.1:0", service).expect("it listens")
}

/// Asks by HTTP/2 for what fails, and for what does not.
fn fail_by_http2(listening: &Listening) {
    let addr = listening.local_addr().expect("an address");
    on_tokio(async {
        let mut sender = connect::<Text>(addr).await;
        let get = |path| Request::get(format!("http://a{path}")).body(Text::default()).unwrap();
        sender.send_request(get("/fail")).await.expect_err("its stream is reset");
        sender.send_request(get("/fail")).await.expect_err("its stream is reset");
        assert!(sender.send_request(get("/a")).await.is_ok());
    });
}

#[test]
fn the_errors_of_a_service_are_heard() {
    let site = Site::start(1);
    let (tell, errors) = mpsc::channel();
    let server = Server::new().on_error(move |error| {
        let _ = tell.send(error);
    });
    let listening = serve_failing(&site, server);
    let mut client = Client::connect(listening.local_addr().expect("an address"));
    client.send("GET /fail HTTP/1.1\r\nHost: a\r\n\r\n");
    client.rest();
    let error = errors.recv_timeout(PATIENCE).expect("it is heard");
    assert!(error.to_string().ends_with("no such thing"), "{error}");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    fail_by_http2(&listening);
    for _ in 0..2 {
        let error = errors.recv_timeout(PATIENCE).expect("each is heard");
        assert_eq!(error.to_string(), "no such thing");
    }
}

#[test]
fn without_a_hook_the_listener_hears_of_the_first_error_of_a_connection() {
    let site = Site::start(1);
    let listening = serve_failing(&site, Server::new());
    let (tell, errors) = mpsc::channel();
    listening.on_error(move |error| {
        let _ = tell.send(error.to_string());
    });
    fail_by_http2(&listening);
    let error = errors.recv_timeout(PATIENCE).expect("it is heard");
    assert!(error.starts_with("serving 127.0.0.1:"), "{error}");
    assert!(error.ends_with("no such thing"), "{error}");
}

#[test]
fn an_upgraded_connection_of_tcp_is_given_back_with_what_came_early() {
    let site = Site::start(1);
    let service = service_fn(async |mut request: Request<Incoming>| {
        let upgrade = hyper::upgrade::on(&mut request);
        drop(spawn_local(async move {
            let io = UpgradedIo::new(upgrade.await.map_err(io::Error::other)?);
            let (mut stream, early) = io.into_tcp().map_err(|_| ErrorKind::Unsupported)?;
            stream.write_all(&early).await?;
            futures::io::copy(&stream, &mut &stream).await?;
            stream.close().await
        }));
        let response = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
        response.header("Connection", "upgrade").header("Upgrade", "a").body(Text::default())
    });
    let listening = serve(&site.handle(), "127.0.0.1:0", service).expect("it listens");
    let mut client = Client::connect(listening.local_addr().expect("an address"));
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: a\r\n\r\nearly");
    assert_eq!(client.answer().status, 101);
    client.send(" and late");
    client.stream().shutdown(std::net::Shutdown::Write).expect("its direction ends");
    assert_eq!(client.until_the_end(), "early and late");
}
