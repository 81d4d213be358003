use async_imap::Client;
use corepoll::PollerBound;
use corepoll::net::TcpStream;
use corepoll_tokio::TokioIo;
use futures::TryStreamExt;
use interop::{Folder, Peer, Port, program, wait_for};

use super::Error;

/// A message with more text than a buffer holds.
fn message() -> String {
    let lines = (0..20_000).map(|n| format!("line {n} of the text\r\n")).collect::<String>();
    format!("From: one@example.org\r\nSubject: a test\r\n\r\n{lines}")
}

/// A server whose users all have the password `secret`, and no mail.
fn start(folder: &Folder) -> (Peer, Port) {
    let port = Port::free();
    let path = folder.path().display();
    folder.write(
        "dovecot.conf",
        format!(
            "base_dir = {path}/run\n\
             state_dir = {path}/run\n\
             log_path = /dev/stderr\n\
             protocols = imap\n\
             ssl = no\n\
             mail_location = maildir:{path}/mail/%u\n\
             default_login_user = nobody\n\
             default_internal_user = nobody\n\
             default_internal_group = nogroup\n\
             first_valid_uid = 1\n\
             first_valid_gid = 1\n\
             passdb {{\n  driver = static\n  args = password=secret\n}}\n\
             userdb {{\n  driver = static\n  args = uid=nobody gid=nogroup home={path}/mail/%u\n}}\n\
             service imap-login {{\n\
             chroot =\n\
             inet_listener imap {{\n  address = 127.0.0.1\n  port = {port}\n}}\n\
             inet_listener imaps {{\n  port = 0\n}}\n\
             }}\n"
        ),
    );
    let mut server = program("dovecot");
    server.arg("-F").arg("-c").arg(folder.join("dovecot.conf"));
    (Peer::start(&mut server).until_listens(port.addr()), port)
}

async fn read_mail(port: &Port) -> Result<(), Error> {
    let stream = PollerBound::new(TcpStream::connect(port.addr()).await?);
    let mut client = Client::new(TokioIo::new(stream));
    client.read_response().await?.expect("a greeting");
    let (error, client) = client.login("name", "wrong").await.expect_err("the password is wrong");
    assert!(matches!(error, async_imap::error::Error::No(_)), "{error}");

    let mut session = client.login("name", "secret").await.map_err(|(error, _client)| error)?;
    let message = message();
    session.append("INBOX", None, None, &message).await?;
    assert_eq!(session.select("INBOX").await?.exists, 1);
    let fetched: Vec<_> = session.fetch("1", "BODY.PEEK[]").await?.try_collect().await?;
    assert_eq!(fetched.len(), 1);
    assert!(fetched[0].body() == Some(message.as_bytes()), "the text is what was sent");
    let found = session.search("SUBJECT test").await?;
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [1]);
    session.logout().await?;
    Ok(())
}

#[test]
fn mail_is_kept_and_read() {
    let folder = Folder::of("nobody");
    let (_server, port) = start(&folder);
    wait_for(read_mail(&port)).expect("a session");
}
