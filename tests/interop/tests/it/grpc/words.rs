//! The service, as tonic-build would write it for
//!
//! ```proto
//! package interop;
//! message Text { string text = 1; }
//! message Number { uint64 number = 1; }
//! service Words {
//!   rpc Say(Text) returns (Text);                    // in capitals
//!   rpc Count(Number) returns (stream Number);       // from zero
//!   rpc Total(stream Number) returns (Number);
//!   rpc Talk(stream Text) returns (stream Text);     // each in capitals, at once
//! }
//! ```

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream, StreamExt, TryStreamExt};
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{
    ClientStreamingService, Grpc, NamedService, ServerStreamingService, StreamingService,
    UnaryService,
};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

/// How many calls hang.
pub static HANGING: AtomicUsize = AtomicUsize::new(0);

#[derive(Clone, PartialEq, prost::Message)]
pub struct Text {
    #[prost(string, tag = "1")]
    pub text: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Number {
    #[prost(uint64, tag = "1")]
    pub number: u64,
}

type Reply<T> = BoxFuture<Response<T>, Status>;
type Many<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The service.
#[derive(Debug, Clone, Copy)]
pub struct Words;

impl NamedService for Words {
    const NAME: &'static str = "interop.Words";
}

impl Service<http::Request<Body>> for Words {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let texts = || Grpc::new(ProstCodec::<Text, Text>::default());
            let numbers = || Grpc::new(ProstCodec::<Number, Number>::default());
            Ok(match request.uri().path() {
                "/interop.Words/Say" => texts().unary(Say, request).await,
                "/interop.Words/Count" => numbers().server_streaming(Count, request).await,
                "/interop.Words/Total" => numbers().client_streaming(Total, request).await,
                "/interop.Words/Talk" => texts().streaming(Talk, request).await,
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

/// Unary.
struct Say;

impl UnaryService<Text> for Say {
    type Response = Text;
    type Future = Reply<Text>;

    fn call(&mut self, request: Request<Text>) -> Self::Future {
        let text = request.into_inner().text;
        Box::pin(async move {
            match text.as_str() {
                "" => Err(Status::invalid_argument("no word: grüße")),
                "hang" => hang().await,
                _ => Ok(Response::new(Text { text: text.to_uppercase() })),
            }
        })
    }
}

/// Never answers.
async fn hang() -> Result<Response<Text>, Status> {
    struct Leaves;
    impl Drop for Leaves {
        fn drop(&mut self) {
            HANGING.fetch_sub(1, Ordering::SeqCst);
        }
    }
    HANGING.fetch_add(1, Ordering::SeqCst);
    let _leaves = Leaves;
    std::future::pending().await
}

/// One request, many answers. 666 ends with an error.
struct Count;

impl ServerStreamingService<Number> for Count {
    type Response = Number;
    type ResponseStream = Many<Number>;
    type Future = Reply<Many<Number>>;

    fn call(&mut self, request: Request<Number>) -> Self::Future {
        let end = request.into_inner().number;
        let numbers = futures::stream::iter(0..end).then(|number| async move {
            // Now and then the stream waits: a timer of the poller.
            if number % 500 == 0 {
                corepoll::time::sleep(Duration::from_millis(1)).await;
            }
            Ok(Number { number })
        });
        let error = (end == 666).then(|| Err(Status::out_of_range("that far and no further")));
        let all: Many<Number> = Box::pin(numbers.chain(futures::stream::iter(error)));
        Box::pin(async move { Ok(Response::new(all)) })
    }
}

/// Many requests, one answer.
struct Total;

impl ClientStreamingService<Number> for Total {
    type Response = Number;
    type Future = Reply<Number>;

    fn call(&mut self, request: Request<Streaming<Number>>) -> Self::Future {
        let numbers = request.into_inner();
        Box::pin(async move {
            let add = |sum, next: Number| async move { Ok(sum + next.number) };
            let number = numbers.try_fold(0, add).await?;
            Ok(Response::new(Number { number }))
        })
    }
}

/// Many of both.
struct Talk;

impl StreamingService<Text> for Talk {
    type Response = Text;
    type ResponseStream = Many<Text>;
    type Future = Reply<Many<Text>>;

    fn call(&mut self, request: Request<Streaming<Text>>) -> Self::Future {
        let words = request.into_inner();
        let words = words.map_ok(|word| Text { text: word.text.to_uppercase() });
        Box::pin(async move { Ok(Response::new(Box::pin(words) as Many<Text>)) })
    }
}
