use std::net::SocketAddr;
use std::process::Command;

use futures::{StreamExt, future::try_join_all};
use interop::{Folder, Peer, Port, Server, program, wait_for};
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicPublishOptions};
use lapin::options::{ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};

use super::{Error, run_on, runtime};

/// How many messages go from one poller to the other.
const MESSAGES: usize = 500;

/// A broker without a queue.
struct RabbitMq {
    addr: SocketAddr,
    /// In the order in which they end: the broker, and the daemon that tells Erlang's nodes of each other.
    _peers: [Peer; 2],
    _ports: [Port; 3],
    _folder: Folder,
}

impl RabbitMq {
    fn start() -> RabbitMq {
        let (folder, ports) = (Folder::new(), [Port::free(), Port::free(), Port::free()]);
        let [own, names, nodes] = &ports;
        // Left to itself, the broker starts a daemon that outlives it.
        let mut daemon = program("epmd");
        daemon.env("ERL_EPMD_ADDRESS", "127.0.0.1").env("ERL_EPMD_PORT", names.to_string());
        let daemon = Peer::start(&mut daemon).until_listens(names.addr());

        let mut broker = program("rabbitmq-server");
        broker.env("ERL_EPMD_ADDRESS", "127.0.0.1").env("ERL_EPMD_PORT", names.to_string());
        broker.env("RABBITMQ_NODENAME", format!("interop{own}@localhost"));
        broker.env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1");
        broker.env("RABBITMQ_NODE_PORT", own.to_string());
        broker.env("RABBITMQ_DIST_PORT", nodes.to_string());
        let arguments = "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1} +S 1:1";
        broker.env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", arguments);
        // Without it, a shell stays between this process and the broker, which would outlive both.
        broker.env("RABBITMQ_ALLOW_INPUT", "1");
        keep_in(&folder, &mut broker);
        let broker = Peer::start(&mut broker).until_prints("Server startup complete");
        RabbitMq { addr: own.addr(), _peers: [broker, daemon], _ports: ports, _folder: folder }
    }
}

/// Has the broker keep everything in `folder`, and read its settings there alone.
fn keep_in(folder: &Folder, broker: &mut Command) {
    broker.env("HOME", folder.path()).env("RABBITMQ_LOGS", "-");
    broker.env("RABBITMQ_CONF_ENV_FILE", folder.write("env", ""));
    broker.env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.write("plugins", "[]."));
    for (variable, name) in [
        ("RABBITMQ_CONFIG_FILE", "config"),
        ("RABBITMQ_LOG_BASE", "log"),
        ("RABBITMQ_MNESIA_BASE", "data"),
        ("RABBITMQ_PID_FILE", "pid"),
    ] {
        broker.env(variable, folder.join(name));
    }
}

/// Connects, and opens a channel that has `queue`.
async fn channel(addr: SocketAddr, queue: &str) -> Result<(Connection, Channel), Error> {
    let uri = format!("amqp://guest:guest@{addr}/%2f");
    let connection = Connection::connect(&uri, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let options = QueueDeclareOptions::default();
    channel.queue_declare(queue.into(), options, FieldTable::default()).await?;
    Ok((connection, channel))
}

/// Sends `texts` to `queue`, all at once, and waits until the broker has confirmed each.
async fn publish(channel: &Channel, queue: &str, texts: &[String]) -> Result<(), Error> {
    let sent = texts.iter().map(|text| {
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        let queue = ShortString::from(queue);
        channel.basic_publish("".into(), queue, options, text.as_bytes(), properties)
    });
    let confirmed = try_join_all(try_join_all(sent).await?).await?;
    assert!(confirmed.iter().all(Confirmation::is_ack), "{confirmed:?}");
    Ok(())
}

/// Takes the next `count` messages of `queue`, and tells the broker that each has come.
async fn take(channel: &Channel, queue: &str, count: usize) -> Result<Vec<String>, Error> {
    let (options, table) = (BasicConsumeOptions::default(), FieldTable::default());
    let mut messages = channel.basic_consume(queue.into(), "".into(), options, table).await?;
    let mut texts = Vec::new();
    while texts.len() < count {
        let message = messages.next().await.expect("the channel is open")?;
        message.ack(BasicAckOptions::default()).await?;
        texts.push(String::from_utf8(message.data.clone())?);
    }
    Ok(texts)
}

#[test]
fn messages_of_one_poller_come_to_another_and_are_confirmed() {
    let broker = RabbitMq::start();
    let (addr, pollers) = (broker.addr, Server::start(2));
    let [one, other] = pollers.handle().pollers() else { panic!("two pollers") };
    let numbers: Vec<String> = (0..MESSAGES).map(|number| number.to_string()).collect();

    let taking = one.spawn_on(move || {
        runtime().wrap(async move {
            let (connection, channel) = channel(addr, "numbers").await?;
            let taken = take(&channel, "numbers", MESSAGES).await?;
            let (_other, answers) = self::channel(addr, "answers").await?;
            answers.confirm_select(ConfirmSelectOptions::default()).await?;
            publish(&answers, "answers", &["all have come".to_owned()]).await?;
            connection.close(200, "".into()).await?;
            Ok::<_, Error>(taken)
        })
    });
    let sent = numbers.clone();
    let answers = run_on(other, move || {
        runtime().wrap(async move {
            let (connection, channel) = channel(addr, "numbers").await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            publish(&channel, "numbers", &sent).await?;
            let (_other, answers) = self::channel(addr, "answers").await?;
            let answers = take(&answers, "answers", 1).await?;
            connection.close(200, "".into()).await?;
            Ok(answers)
        })
    });
    assert_eq!(answers, ["all have come"]);
    assert_eq!(wait_for(taking).expect("no panic").expect("it succeeds"), numbers);
}

#[test]
fn a_broker_that_is_not_there_is_an_error() {
    let (addr, _held) = interop::common::closed_port();
    let addr: SocketAddr = addr.parse().expect("an address");
    let connected = wait_for(runtime().wrap(channel(addr, "numbers")));
    assert!(connected.is_err());
}
