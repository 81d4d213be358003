//! The threads that answer.

use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::answers::Answers;
use crate::request::Request;

/// The longest that `/sleep/` works.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);

/// What a worker is to do.
pub struct Job {
    /// What was asked for.
    pub request: Request,
    /// Which request of its connection this is.
    pub number: u64,
    /// Where the answer goes.
    pub answers: Arc<Answers>,
}

/// What the workers do: here it is to sleep, which stands for a database or for much arithmetic.
fn work(request: &Request) -> Vec<u8> {
    let path = match request.path() {
        Ok(path) => path,
        Err(answer) => return answer,
    };
    if let Some(milliseconds) = path.strip_prefix("/sleep/") {
        let Ok(milliseconds) = milliseconds.parse() else {
            return request.answer("404 Not Found", b"");
        };
        thread::sleep(Duration::from_millis(milliseconds).min(LONGEST_SLEEP));
    }
    let thread = thread::current();
    let content = format!("{path} by {}\n", thread.name().unwrap_or_default());
    request.answer("200 OK", content.as_bytes())
}

/// Starts the workers; they end when nobody can send them anything any more.
pub fn start(count: usize) -> io::Result<Sender<Job>> {
    let (sender, receiver) = mpsc::channel();
    let receiver = Arc::new(Mutex::new(receiver));
    for index in 0..count {
        let jobs = receiver.clone();
        let take = move |jobs: &Mutex<Receiver<Job>>| jobs.lock().ok()?.recv().ok();
        thread::Builder::new().name(format!("worker {index}")).spawn(move || {
            while let Some(job) = take(&jobs) {
                job.answers.put(job.number, work(&job.request));
            }
        })?;
    }
    Ok(sender)
}
