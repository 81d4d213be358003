use std::time::Duration;

use interop::{Folder, Peer, Port, program, wait_for};
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, QoS};

use super::{Error, runtime};

/// How many messages are sent.
const MESSAGES: u32 = 200;

fn start(folder: &Folder) -> (Peer, Port) {
    let port = Port::free();
    folder.write("mosquitto.conf", format!("listener {port} 127.0.0.1\nallow_anonymous true\n"));
    let mut server = program("mosquitto");
    server.arg("-c").arg(folder.join("mosquitto.conf"));
    (Peer::start(&mut server).until_listens(port.addr()), port)
}

fn client(name: &str, port: &Port) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new(name, "127.0.0.1", port.number());
    options.set_keep_alive(Duration::from_secs(60));
    AsyncClient::new(options, 10)
}

/// Takes packets until `last` says that this was the last one.
async fn take(events: &mut EventLoop, mut last: impl FnMut(Packet) -> bool) -> Result<(), Error> {
    loop {
        if let Event::Incoming(packet) = events.poll().await?
            && last(packet)
        {
            return Ok(());
        }
    }
}

#[test]
fn messages_from_one_client_to_another() {
    let folder = Folder::new();
    let (_server, port) = start(&folder);
    let talk = runtime().wrap(async {
        let (subscriber, mut received) = client("subscriber", &port);
        subscriber.subscribe("numbers/#", QoS::AtLeastOnce).await?;
        take(&mut received, |packet| matches!(packet, Packet::SubAck(_))).await?;

        let (publisher, mut sent) = client("publisher", &port);
        let publish = async {
            for n in 0..MESSAGES {
                let payload = n.to_string();
                publisher.publish("numbers/all", QoS::AtLeastOnce, false, payload).await?;
            }
            Ok::<(), Error>(())
        };
        let mut acknowledged = 0;
        let sent = take(&mut sent, |packet| {
            acknowledged += u32::from(matches!(packet, Packet::PubAck(_)));
            acknowledged == MESSAGES
        });
        let mut next = 0;
        let received = take(&mut received, |packet| {
            if let Packet::Publish(message) = packet {
                assert_eq!(message.payload, next.to_string());
                next += 1;
            }
            next == MESSAGES
        });
        let (published, sent, received) = futures::join!(publish, sent, received);
        published.and(sent).and(received)
    });
    wait_for(talk).expect("all messages arrive");
}
