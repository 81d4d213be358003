//! The example `http3`: its two commands, as a user types them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

/// A server, which is killed if its test fails.
struct Server {
    child: Child,
    /// The folder that it serves, with its certificate in it.
    folder: PathBuf,
    /// What it says that it listens on.
    url: String,
}

/// Returns the command that starts the example: this test's own program lies in `deps` beside it.
fn http3() -> Command {
    let own = std::env::current_exe().unwrap();
    let path = own.ancestors().nth(2).expect("target/<profile>").join("examples/http3");
    assert!(path.exists(), "{} is missing: run `cargo build --examples`", path.display());
    Command::new(path)
}

impl Server {
    /// Starts a server of a folder with one file.
    fn start(name: &str, content: &[u8]) -> Server {
        let folder = std::env::temp_dir().join(format!("http3-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("file"), content).unwrap();
        let mut command = http3();
        command.args(["--listen", "127.0.0.1:0", "--root"]).arg(&folder);
        command.arg("--certificate").arg(folder.join("certificate.pem"));
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").expect("it says where").to_owned();
        Server { child, folder, url }
    }

    /// Gets a path by the client.
    fn get(&self, path: &str) -> Output {
        let mut command = http3();
        command.arg("--certificate").arg(self.folder.join("certificate.pem"));
        command.arg("--get").arg(format!("{}{path}", self.url)).output().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn a_file_is_served_and_got() {
    let content: Vec<u8> = (0..3_000_000u32).map(|place| (place % 251) as u8).collect();
    let server = Server::start("got", &content);
    let got = server.get("/file");
    assert!(got.status.success(), "{got:?}");
    assert!(got.stdout == content, "{} bytes", got.stdout.len());
}

#[test]
fn what_is_no_file_of_the_folder_is_not_found() {
    let server = Server::start("missing", b"x");
    for path in ["/missing", "/", "/../../../../../../etc/hosts", "//etc/hosts"] {
        let got = server.get(path);
        assert!(!got.status.success() && got.stdout.is_empty(), "{path}: {got:?}");
        assert!(String::from_utf8_lossy(&got.stderr).contains("404"), "{path}: {got:?}");
    }
}

#[test]
fn a_server_ends_by_a_signal() {
    let mut server = Server::start("ends", b"x");
    assert!(server.get("/file").status.success());
    let killed = Command::new("kill").arg(server.child.id().to_string()).status().unwrap();
    assert!(killed.success());
    assert!(server.child.wait().unwrap().success());
}
