use std::net::SocketAddr;

use futures::StreamExt;
use interop::{Peer, Port, Server, program, wait_for};

use super::{Error, run_on, runtime};

/// How many messages go from one poller to the other.
const MESSAGES: usize = 1000;

fn start() -> (Peer, Port) {
    let port = Port::free();
    let mut server = program("nats-server");
    server.args(["-a", "127.0.0.1", "-p", &port.to_string()]);
    (Peer::start(&mut server).until_prints("Server is ready"), port)
}

/// Publishes messages, and asks a question once they are there.
async fn publish(addr: SocketAddr) -> Result<String, Error> {
    let client = async_nats::connect(addr.to_string()).await?;
    for n in 0..MESSAGES {
        client.publish("numbers", n.to_string().into()).await?;
    }
    client.flush().await?;
    let answer = client.request("questions", "how many?".into()).await?;
    Ok(String::from_utf8(answer.payload.to_vec())?)
}

#[test]
fn messages_and_requests_between_two_pollers() {
    let (_server, port) = start();
    let (addr, pollers) = (port.addr(), Server::start(2));
    let [one, other] = pollers.handle().pollers() else { panic!("two pollers") };

    // It subscribes first: messages that nothing has subscribed to are lost.
    let (client, mut numbers, mut questions) = run_on(one, move || {
        runtime().wrap(async move {
            let client = async_nats::connect(addr.to_string()).await?;
            let numbers = client.subscribe("numbers").await?;
            let questions = client.subscribe("questions").await?;
            client.flush().await?;
            Ok((client, numbers, questions))
        })
    });
    let answering = one.spawn_on(move || {
        runtime().wrap(async move {
            for n in 0..MESSAGES {
                let message = numbers.next().await.expect("it goes on");
                assert_eq!(message.payload, n.to_string());
            }
            let question = questions.next().await.expect("it goes on");
            assert_eq!(question.payload, "how many?");
            client.publish(question.reply.expect("a request"), MESSAGES.to_string().into()).await?;
            client.flush().await?;
            Ok::<(), Error>(())
        })
    });
    let answer = run_on(other, move || runtime().wrap(publish(addr)));
    assert_eq!(answer, "1000");
    wait_for(answering).expect("no panic").expect("it answers");
}
