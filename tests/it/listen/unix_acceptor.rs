//! Listening at Unix sockets: what is stale is replaced, what is not ours is left alone.

use std::error::Error;
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::common::{self, Echo, PATIENCE, Server, eventually};
use corepoll::{Acceptor, Listening, Reactor};

/// A directory that is removed with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("corepoll-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("a new directory");
        Directory(path)
    }

    fn path(&self) -> PathBuf {
        self.0.join("socket")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn listen(server: &Server, path: &Path) -> io::Result<Listening> {
    Acceptor::new(format!("unix:{}", path.display())).listen(server.handle(), || Echo)
}

#[track_caller]
fn echoes(mut client: UnixStream) {
    client.set_read_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
    client.write_all(b"ping").expect("it is connected");
    let mut answer = [0; 4];
    client.read_exact(&mut answer).expect("it answers");
    assert_eq!(&answer, b"ping");
}

#[test]
fn listens_at_a_path_and_takes_the_file_away_at_the_end() {
    let directory = Directory::new("listens");
    let path = directory.path();
    let server = Server::start(2);
    let listening = listen(&server, &path).expect("a free path");
    assert!(listening.local_addr().is_err());
    echoes(UnixStream::connect(&path).expect("it listens"));
    listening.close();
    eventually("the file is removed", || !path.exists());

    listen(&server, &path).expect("it is free again");
    echoes(UnixStream::connect(&path).expect("it listens"));
    server.stop(Duration::ZERO);
    assert!(!path.exists());
}

/// Asserts that an error says that an address is in use, by its kind and by the kernel's number.
fn assert_in_use(error: &io::Error) {
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{error}");
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    let number = source.and_then(io::Error::raw_os_error);
    assert_eq!(number, Some(libc::EADDRINUSE), "{error:?}");
}

#[test]
fn listens_at_an_abstract_name() {
    // An `@`, or the NUL that tasks and tokio write.
    for (mark, rest) in [("@", "plain"), ("\0", "nul"), ("@", "nuls\0inside\0")] {
        let server = Server::start(1);
        let name = format!("corepoll-acceptor-{}-{rest}", std::process::id());
        let acceptor = Acceptor::new(format!("unix:{mark}{name}"));
        acceptor.clone().listen(server.handle(), || Echo).expect("a free name");
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("a name");
        echoes(UnixStream::connect_addr(&address).expect("it listens"));
        let second = acceptor.listen(server.handle(), || Echo).expect_err("it is in use");
        assert_in_use(&second);
    }
}

#[test]
fn a_stale_socket_is_replaced() {
    let directory = Directory::new("stale");
    let path = directory.path();
    let server = Server::start(1);
    drop(UnixListener::bind(&path).expect("a free path"));
    assert!(path.exists(), "std leaves it behind");
    let listening = listen(&server, &path).expect("no socket listens there");
    echoes(UnixStream::connect(&path).expect("it listens"));
    listening.close();
    eventually("the file is removed", || !path.exists());
    drop(UnixDatagram::bind(&path).expect("a free path"));
    listen(&server, &path).expect("no socket receives there");
    echoes(UnixStream::connect(&path).expect("it listens"));
}

/// Each is left as it was, and is an error that names the address.
#[test]
fn everything_else_is_left_alone() {
    let directory = Directory::new("others");
    let path = directory.path();
    let other = directory.0.join("other");
    let server = Server::start(1);
    let refused = |what: &str| {
        let error = listen(&server, &path).expect_err(what);
        assert_in_use(&error);
        assert!(error.to_string().contains(&path.display().to_string()), "{what}: {error}");
    };

    fs::write(&path, b"precious").expect("a new file");
    refused("a file");
    assert_eq!(fs::read(&path).expect("it is still there"), b"precious");
    fs::remove_file(&path).expect("it is ours");

    fs::create_dir(&path).expect("a new directory");
    refused("a directory");
    fs::remove_dir(&path).expect("it is still there");

    drop(UnixListener::bind(&other).expect("a free path"));
    symlink(&other, &path).expect("a new link");
    refused("a link to a stale socket");
    assert_eq!(fs::read_link(&path).expect("it is still there"), other);
    fs::remove_file(&path).expect("it is ours");

    let live = UnixListener::bind(&path).expect("a free path");
    refused("a live socket");
    drop(live.accept().expect("the attempt to find out"));
    echoes_with_std(&live, &path);
    drop(live);
    fs::remove_file(&path).expect("it is still there");

    let datagram = UnixDatagram::bind(&path).expect("a free path");
    refused("a live datagram socket");
    let sender = UnixDatagram::unbound().expect("a socket");
    sender.send_to(b"x", &path).expect("it still receives");
    drop(datagram);
    fs::remove_file(&path).expect("it is still there");

    let missing = directory.0.join("missing").join("socket");
    assert_eq!(
        listen(&server, &missing).expect_err("there is no directory").kind(),
        io::ErrorKind::NotFound
    );
}

fn echoes_with_std(live: &UnixListener, path: &Path) {
    let client = UnixStream::connect(path).expect("it still listens");
    let (mut server, _) = live.accept().expect("the client");
    let echo = thread::spawn(move || {
        let mut bytes = [0; 4];
        server.read_exact(&mut bytes).and_then(|()| server.write_all(&bytes))
    });
    echoes(client);
    echo.join().expect("it doesn't panic").expect("the client is there");
}

#[test]
fn a_file_that_has_been_replaced_is_not_removed() {
    let directory = Directory::new("replaced");
    let path = directory.path();
    let server = Server::start(1);
    listen(&server, &path).expect("a free path");
    fs::rename(&path, directory.0.join("moved")).expect("it is there");
    let _other = UnixListener::bind(&path).expect("a free path");
    server.stop(Duration::ZERO);
    UnixStream::connect(&path).expect("the other one still listens");
}

#[test]
fn a_reactor_that_was_never_started_removes_its_file() {
    let directory = Directory::new("unstarted");
    let path = directory.path();
    let reactor = Reactor::builder().pollers(1).build().expect("a reactor");
    let acceptor = Acceptor::new(format!("unix:{}", path.display()));
    acceptor.listen(&reactor.handle(), || Echo).expect("a free path");
    assert!(path.exists());
    drop(reactor);
    assert!(!path.exists());
}

/// Many start at a stale socket in the same moment: one of them gets it, and keeps it.
#[test]
fn of_many_that_start_together_one_listens() {
    let directory = Directory::new("race");
    let path = directory.path();
    for _ in 0..50 {
        drop(UnixListener::bind(&path).expect("a free path"));
        let server = Server::start(1);
        let barrier = std::sync::Barrier::new(8);
        let listening: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        listen(&server, &path).ok()
                    })
                })
                .collect();
            threads.into_iter().filter_map(|it| it.join().expect("it doesn't panic")).collect()
        });
        assert_eq!(listening.len(), 1);
        echoes(UnixStream::connect(&path).expect("one listens"));
        server.stop(Duration::ZERO);
        assert!(!path.exists());
    }
}

/// The lock that keeps others away while one is about to listen at `path`.
fn lock_of(path: &Path) -> fs::File {
    let name = path.file_name().expect("a name").to_str().expect("text");
    let lock = path.with_file_name(format!(".{name}.corepoll-lock"));
    let lock = fs::File::create(lock).expect("a new file");
    take(&lock);
    lock
}

/// flock(2), exclusively.
#[allow(unsafe_code)]
fn take(file: &fs::File) {
    // SAFETY: takes no pointers; the descriptor is open.
    assert_eq!(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) }, 0);
}

/// Listens at `path` on the thread of the server's poller, which must not be held up.
fn listen_on_poller(server: &Server, path: &Path) -> io::Result<Listening> {
    let (handle, path) = (server.handle().clone(), path.to_owned());
    server.on_poller(move || {
        Acceptor::new(format!("unix:{}", path.display())).listen(&handle, || Echo)
    })
}

/// Between its bind and its listen another process's socket refuses connections, as a stale one
/// does. As long as that process has the lock, it is not taken for one; and no call waits for it.
#[test]
fn one_that_is_about_to_listen_is_not_taken_for_a_stale_one() {
    let directory = Directory::new("lock");
    let path = directory.path();
    let server = Server::start(1);
    let lock = lock_of(&path);
    let other = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
    let other = other.expect("a socket");
    other.bind(&socket2::SockAddr::unix(&path).expect("a path")).expect("a free path");
    for listen in [listen, listen_on_poller] {
        let refused = listen(&server, &path).expect_err("another one is about to listen");
        assert_in_use(&refused);
        let text = refused.to_string();
        let owner = format!("process {} is about to listen there", std::process::id());
        assert!(text.contains(&owner) && text.contains("corepoll-lock"), "{text}");
    }
    other.listen(1).expect("it is bound");
    drop(lock);
    let refused = listen(&server, &path).expect_err("it listens");
    assert_in_use(&refused);
    UnixStream::connect(&path).expect("the other one listens");
}

/// Locks that others have for their own reasons are none of ours: systemd-tmpfiles(8) asks programs
/// to lock directories that are in use.
#[test]
fn a_lock_on_the_directory_or_on_another_path_is_no_obstacle() {
    let directory = Directory::new("others-lock");
    let path = directory.path();
    let server = Server::start(1);
    let of_directory = fs::File::open(&directory.0).expect("it is ours");
    take(&of_directory);
    let _of_another = lock_of(&directory.0.join("other"));
    for listen in [listen, listen_on_poller] {
        let listening = listen(&server, &path).expect("a free path");
        echoes(UnixStream::connect(&path).expect("it listens"));
        listening.close_and_wait();
        drop(UnixListener::bind(&path).expect("a free path"));
        let listening = listen(&server, &path).expect("a stale socket");
        echoes(UnixStream::connect(&path).expect("it listens"));
        listening.close_and_wait();
    }
}

/// What a process that was killed has left behind is no obstacle, nor is what can't be locked.
#[test]
fn a_lock_file_that_was_left_behind_is_no_obstacle() {
    let directory = Directory::new("left-lock");
    let path = directory.path();
    let server = Server::start(1);
    drop(lock_of(&path));
    listen(&server, &path).expect("no process has the lock").close_and_wait();
    let left: Vec<_> = fs::read_dir(&directory.0).expect("it is ours").collect();
    assert!(left.is_empty(), "{left:?}");
    fs::create_dir(directory.0.join(".socket.corepoll-lock")).expect("a new directory");
    listen(&server, &path).expect("it does without");
    echoes(UnixStream::connect(&path).expect("it listens"));
}

/// The owner of the lock removes its file before it lets go. A process that has opened that file meanwhile
/// has locked nothing: another process may have made and locked a new one.
#[test]
fn the_lock_of_a_file_that_has_been_removed_is_none() {
    common::in_own_process(|| {
        let directory = Directory::new("gone-lock");
        let path = directory.path();
        let there = path.clone();
        let mut others = None;
        // Between our open and our flock.
        common::refuse::decide(libc::SYS_flock, move |_| {
            if others.is_none() {
                let lock = there.with_file_name(".socket.corepoll-lock");
                fs::remove_file(lock).expect("it has been opened");
                others = Some(lock_of(&there));
            }
            None
        });
        let server = Server::start(1);
        let refused = listen(&server, &path).expect_err("another one is about to listen");
        assert_in_use(&refused);
    });
}
