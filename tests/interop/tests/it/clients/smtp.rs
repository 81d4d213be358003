use async_smtp::{Envelope, SendableEmail, SmtpClient, SmtpTransport};
use corepoll::net::TcpStream;
use corepoll_tokio::TokioIo;
use interop::{Peer, python, wait_for};
use tokio::io::BufReader;

use super::Error;

/// Mails a text, and then one that the server refuses.
async fn send(addr: &str, text: &str) -> Result<(), Error> {
    let stream = BufReader::new(TokioIo::new(TcpStream::connect(addr).await?));
    let mut transport = SmtpTransport::new(SmtpClient::new(), stream).await?;
    let envelope = |to: &str| Envelope::new(Some("one@example.org".parse()?), vec![to.parse()?]);
    transport.send(SendableEmail::new(envelope("two@example.org")?, text)).await?;
    let refused = SendableEmail::new(envelope("refused@example.org")?, "no");
    let error = transport.send(refused).await.expect_err("the server refuses the recipient");
    assert!(error.to_string().contains("no such mailbox"), "{error}");
    transport.quit().await?;
    Ok(())
}

#[test]
fn mail_is_delivered() {
    let server = Peer::start(&mut python("smtp_server.py")).until_prints("\n");
    let port = server.printed().trim().strip_prefix("port ").expect("it says its port").to_owned();
    let lines = (0..5_000).map(|n| format!(".line {n}\r\n")).collect::<String>();
    let text = format!("Subject: a test\r\n\r\n{lines}");
    // The client ends the last line.
    wait_for(send(&format!("127.0.0.1:{port}"), text.trim_end())).expect("it is delivered");
    let expected = format!("from one@example.org to two@example.org, {} bytes\n", text.len());
    let printed = server.until_prints(&expected).printed();
    assert!(printed.contains("as it was sent\n"), "{printed}");
}
