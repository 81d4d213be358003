//! Crates that bring threads of their own: blocking, async-fs, async-process and async-signal.

use std::io;
use std::process::Stdio;

use async_signal::{Signal, Signals};
use corepoll::{Reactor, time};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use interop::common::in_own_process;
use interop::{Folder, PATIENCE, pattern, program, wait_for};

#[test]
fn blocking_runs_a_closure_while_the_poller_turns() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let both = async {
        let blocked = blocking::unblock(move || receiver.recv_timeout(PATIENCE));
        // Sent by a task of the same poller: it turns while the closure blocks.
        let task = corepoll::spawn_local(async move { sender.send("from the poller") });
        let received = blocked.await;
        task.await.expect("it ends").expect("it is received");
        received
    };
    assert_eq!(wait_for(both), Ok("from the poller"));
}

#[test]
fn async_fs_writes_what_cat_reads() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.join("file");
    let bytes = pattern(3 << 20);
    wait_for(async {
        let mut file = async_fs::File::create(&path).await?;
        file.write_all(&bytes).await?;
        file.close().await
    })?;
    assert!(interop::Peer::run(program("cat").arg(&path), b"").stdout == bytes);
    assert!(wait_for(async_fs::read(&path))? == bytes);
    Ok(())
}

#[test]
fn async_process_pipes_through_gzip_and_back() -> io::Result<()> {
    async fn piped(command: std::process::Command, input: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut command = async_process::Command::from(command);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let mut pipe = child.stdin.take().expect("it is piped");
        let write = corepoll::spawn_local(async move {
            pipe.write_all(&input).await?;
            pipe.close().await
        });
        let mut output = Vec::new();
        child.stdout.take().expect("it is piped").read_to_end(&mut output).await?;
        write.await??;
        assert!(child.status().await?.success());
        Ok(output)
    }
    let bytes = pattern(3 << 20);
    let there_and_back = async {
        let packed = piped(program("gzip"), bytes.clone()).await?;
        let mut gunzip = program("gzip");
        gunzip.arg("-d");
        piped(gunzip, packed).await
    };
    assert!(wait_for(there_and_back)? == bytes);
    Ok(())
}

#[test]
fn async_signal_tells_a_task_what_kill_sends() {
    in_own_process(|| {
        let reactor = Reactor::builder().pollers(1).build().expect("a reactor");
        let heard = reactor.run_until(async {
            let mut signals = Signals::new([Signal::Usr1, Signal::Usr2]).expect("signals");
            let mut heard = Vec::new();
            for name in ["USR1", "USR2", "USR1"] {
                let mut kill = program("kill");
                kill.args(["-s", name, &std::process::id().to_string()]);
                assert!(kill.status().expect("it runs").success());
                let next = time::timeout(PATIENCE, signals.next()).await.expect("it comes");
                heard.push(next.expect("they go on").expect("no error"));
            }
            heard
        });
        assert_eq!(heard.expect("it runs"), [Signal::Usr1, Signal::Usr2, Signal::Usr1]);
    });
}
