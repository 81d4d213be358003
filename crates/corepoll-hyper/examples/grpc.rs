//! A gRPC server by tonic, and a client of it: a unary call, a stream of answers, an error.
//!
//! ```text
//! cargo run -p corepoll-hyper --features client --example grpc
//! cargo run -p corepoll-hyper --features client --example grpc -- --ask http://127.0.0.1:50051 --name Ada
//! ```
//!
//! It needs no protoc. The messages and the service are written by hand, as tonic-build would write
//! them for
//!
//! ```proto
//! package corepoll;
//! message Name { string name = 1; uint32 times = 2; }
//! message Greeting { string text = 1; }
//! service Greeter {
//!   rpc Greet(Name) returns (Greeting);
//!   rpc GreetOften(Name) returns (stream Greeting);   // one each 100 ms
//! }
//! ```

use std::convert::Infallible;
use std::error::Error;
use std::future::{Ready, ready};
use std::iter;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::process::ExitCode;
use std::thread::{self, available_parallelism};
use std::time::Duration;

use clap::Parser;
use corepoll::{Reactor, signal::Signal, time};
use corepoll_hyper::{Connector, LocalExec, serve};
use futures::{FutureExt, Stream, StreamExt, TryStreamExt, stream};
use hyper::http::uri::PathAndQuery;
use hyper::{body::Incoming, service::service_fn};
use tonic::server::{ServerStreamingService, UnaryService};
use tonic::transport::{Channel, Uri};
use tonic::{Request, Response, Status, body::Body};
use tonic_prost::ProstCodec;

/// The paths of the methods.
const GREET: &str = "/corepoll.Greeter/Greet";
const GREET_OFTEN: &str = "/corepoll.Greeter/GreetOften";
/// The longest message that either side takes, and the longest time for an answer.
const LONGEST_MESSAGE: usize = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, PartialEq, prost::Message)]
struct Name {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(uint32, tag = "2")]
    times: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Greeting {
    #[prost(string, tag = "1")]
    text: String,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = match &options.ask {
        Some(server) => corepoll::block_on(ask(server.clone(), &options)),
        None => run_server(&options).map_err(Into::into),
    };
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    let causes = iter::successors(error.source(), |cause| (*cause).source());
    eprintln!("grpc: {}", causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}")));
    ExitCode::FAILURE
}

fn run_server(options: &Options) -> std::io::Result<()> {
    let reactor = Reactor::builder().pollers(options.pollers.get()).build()?;

    // The first signal gives the calls five seconds to end, a second one no time at all.
    let (handle, mut signals) = (reactor.handle(), Signal::new([libc::SIGINT, libc::SIGTERM])?);
    thread::spawn(move || {
        corepoll::block_on(async {
            for grace in [Duration::from_secs(5), Duration::ZERO] {
                let _ = signals.recv().await;
                handle.shutdown(grace);
            }
        });
    });

    let listening = serve(&reactor.handle(), options.addr, service_fn(answer))?;
    println!("listening on {}", listening.local_addr()?);
    reactor.run()
}

/// Answers one call.
async fn answer(request: hyper::Request<Incoming>) -> Result<hyper::Response<Body>, Infallible> {
    let mut grpc = tonic::server::Grpc::new(ProstCodec::<Greeting, Name>::default())
        .max_decoding_message_size(LONGEST_MESSAGE);
    Ok(match request.uri().path() {
        GREET => grpc.unary(Greet, request).await,
        GREET_OFTEN => grpc.server_streaming(GreetOften, request).await,
        _ => Status::unimplemented("no such method").into_http(),
    })
}

struct Greet;

impl UnaryService<Name> for Greet {
    type Response = Greeting;
    type Future = Ready<Result<Response<Greeting>, Status>>;

    fn call(&mut self, request: Request<Name>) -> Self::Future {
        ready(greet(&request.get_ref().name).map(Response::new))
    }
}

struct GreetOften;

impl ServerStreamingService<Name> for GreetOften {
    type Response = Greeting;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<Greeting, Status>> + Send>>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Name>) -> Self::Future {
        let Name { name, times } = request.into_inner();
        ready(greet(&name).map(|greeting| {
            let greetings = stream::iter(0..times).then(move |_| {
                let greeting = greeting.clone();
                time::sleep(Duration::from_millis(100)).map(|()| Ok(greeting))
            });
            let greetings: Self::ResponseStream = Box::pin(greetings);
            Response::new(greetings)
        }))
    }
}

fn greet(name: &str) -> Result<Greeting, Status> {
    match name {
        "" => Err(Status::invalid_argument("a name is missing")),
        _ => Ok(Greeting { text: format!("Hello, {name}!") }),
    }
}

/// Calls both methods of a server, and prints what it says.
async fn ask(server: Uri, options: &Options) -> Result<(), Box<dyn Error>> {
    let endpoint = Channel::builder(server).executor(LocalExec);
    let channel =
        time::timeout(PATIENCE, endpoint.connect_with_connector(Connector::new())).await??;
    let mut grpc = tonic::client::Grpc::new(channel).max_decoding_message_size(LONGEST_MESSAGE);
    let name = || Request::new(Name { name: options.name.clone(), times: options.times });
    let codec = ProstCodec::<Name, Greeting>::default;

    grpc.ready().await?;
    let call = grpc.unary(name(), PathAndQuery::from_static(GREET), codec());
    println!("{}", time::timeout(PATIENCE, call).await??.get_ref().text);

    grpc.ready().await?;
    let call = grpc.server_streaming(name(), PathAndQuery::from_static(GREET_OFTEN), codec());
    let mut greetings = time::timeout(PATIENCE, call).await??.into_inner();
    while let Some(greeting) = time::timeout(PATIENCE, greetings.try_next()).await?? {
        println!("{}", greeting.text);
    }
    Ok(())
}

/// A gRPC server by tonic, or with --ask a client of it
#[derive(Parser)]
struct Options {
    /// The address to listen on; port 0 takes a free port
    #[arg(long, default_value = "127.0.0.1:50051")]
    addr: SocketAddr,
    /// The number of pollers, each a thread; by default one for each processor
    #[arg(long, default_value_t = available_parallelism().unwrap_or(NonZeroUsize::MIN))]
    pollers: NonZeroUsize,
    /// Calls a server instead, at an address such as http://127.0.0.1:50051
    #[arg(long, value_name = "URI")]
    ask: Option<Uri>,
    /// Whom to greet
    #[arg(long, default_value = "World")]
    name: String,
    /// How often the stream greets
    #[arg(long, default_value = "3")]
    times: u32,
}
