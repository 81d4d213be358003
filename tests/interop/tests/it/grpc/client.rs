//! A client: tonic's `Channel`, whose connections are those of the poller that polls it.

use corepoll_hyper::{Connector, LocalExec};
use futures::{StreamExt, TryStreamExt, stream};
use interop::{Peer, python, wait_for};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use super::words::{Number, Text};

/// The path of a method.
fn path(method: &'static str) -> PathAndQuery {
    PathAndQuery::from_static(method)
}

/// Asks for a word in capitals.
async fn say(client: &Grpc<Channel>, word: &str) -> Result<String, Status> {
    let mut client = client.clone();
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let codec = ProstCodec::<Text, Text>::default();
    let request = Request::new(Text { text: word.to_owned() });
    let answer = client.unary(request, path("/interop.Words/Say"), codec).await?;
    Ok(answer.into_inner().text)
}

/// Asks for the numbers below `end`, and returns those that come, and the error that ends them.
async fn count(client: &Grpc<Channel>, end: u64) -> (Vec<u64>, Option<Status>) {
    let mut client = client.clone();
    client.ready().await.expect("it is connected");
    let codec = ProstCodec::<Number, Number>::default();
    let request = Request::new(Number { number: end });
    let answer = client.server_streaming(request, path("/interop.Words/Count"), codec).await;
    let mut numbers = answer.expect("it begins").into_inner();
    let mut come = Vec::new();
    loop {
        match numbers.try_next().await {
            Ok(Some(next)) => come.push(next.number),
            Ok(None) => return (come, None),
            Err(error) => return (come, Some(error)),
        }
    }
}

async fn all_kinds(channel: Channel) -> Result<(), Status> {
    let client = Grpc::new(channel);
    let words: Vec<String> = (0..200).map(|number| format!("word {number}")).collect();
    let said = futures::future::try_join_all(words.iter().map(|word| say(&client, word))).await?;
    assert_eq!(said, words.iter().map(|word| word.to_uppercase()).collect::<Vec<_>>());
    let long = "x".repeat(3_000_000);
    assert_eq!(say(&client, &long).await?, long.to_uppercase());
    let error = say(&client, "").await.expect_err("there is no word");
    assert_eq!((error.code(), error.message()), (Code::InvalidArgument, "no word: grüße"));

    let (numbers, error) = count(&client, 2000).await;
    assert!(error.is_none() && numbers.into_iter().eq(0..2000), "{error:?}");
    let (numbers, error) = count(&client, 666).await;
    assert!(numbers.into_iter().eq(0..666));
    assert_eq!(error.map(|error| error.code()), Some(Code::OutOfRange));

    let mut other = client.clone();
    other.ready().await.expect("it is connected");
    let numbers = stream::iter((0..2000).map(|number| Number { number }));
    let codec = ProstCodec::<Number, Number>::default();
    let total = other.client_streaming(Request::new(numbers), path("/interop.Words/Total"), codec);
    assert_eq!(total.await?.into_inner().number, (0..2000).sum::<u64>());

    let mut other = client.clone();
    other.ready().await.expect("it is connected");
    let words = stream::iter(["one", "two", "three"]).map(|word| Text { text: word.to_owned() });
    let codec = ProstCodec::<Text, Text>::default();
    let talk = other.streaming(Request::new(words), path("/interop.Words/Talk"), codec).await?;
    let said: Vec<Text> = talk.into_inner().try_collect().await?;
    assert!(said.iter().map(|word| &*word.text).eq(["ONE", "TWO", "THREE"]), "{said:?}");
    Ok(())
}

#[test]
fn a_channel_calls_each_kind_of_method_of_python() {
    let mut server = Peer::start(&mut python("grpc_server.py"));
    let addr = server.port();
    wait_for(async {
        let endpoint = Endpoint::from_shared(format!("http://{addr}")).expect("an address");
        let channel = endpoint.executor(LocalExec).connect_with_connector(Connector::new()).await;
        all_kinds(channel.expect("a connection")).await
    })
    .expect("no error");
}
