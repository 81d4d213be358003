//! A transfer takes no more memory than its windows, however long it is.

#[path = "it/common.rs"]
mod common;

use common::{client, configs, mirror, on_corepoll, server, to_and_fro};

/// What goes each way.
const SIZE: u64 = 64 << 20;

/// Returns the most memory that this process has had so far, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn the_memory_of_a_transfer_has_a_limit() {
    let (server_config, client_config) = configs();
    on_corepoll(async {
        let server = server(server_config);
        let addr = server.local_addr().unwrap();
        let before = peak();
        let serving = corepoll::spawn_local(async move { mirror(&server).await });
        to_and_fro(&client(client_config), addr, SIZE).await;
        serving.await.unwrap();
        let grown = peak() - before;
        assert!(grown < SIZE / 1024 / 2, "{grown} KiB for a transfer of {SIZE} bytes each way");
    });
}
