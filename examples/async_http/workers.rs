//! The threads that answer.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
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

/// The threads that answer, and what they have to do. They end with the process.
pub struct Workers {
    queue: Mutex<Queue>,
    /// There is something to do.
    work: Condvar,
    /// How many of them one client may have at a time.
    share: usize,
}

/// What is to be done, and in whose turn.
#[derive(Default)]
struct Queue {
    /// The name of the next client.
    next: u64,
    clients: HashMap<u64, Client>,
    /// Clients whose next job may be taken. Each stands here once at the most.
    turns: VecDeque<u64>,
}

#[derive(Default)]
struct Client {
    /// In the order of its requests.
    jobs: VecDeque<Job>,
    /// How many workers it has.
    workers: usize,
    /// It stands in `turns`.
    has_turn: bool,
}

impl Workers {
    /// Starts `count` threads.
    pub fn start(count: usize) -> io::Result<Arc<Workers>> {
        let share = (count / 2).max(1);
        let (queue, work) = (Mutex::default(), Condvar::new());
        let workers = Arc::new(Workers { queue, work, share });
        for index in 0..count {
            let workers = workers.clone();
            let name = format!("worker {index}");
            thread::Builder::new().name(name).spawn(move || workers.work())?;
        }
        Ok(workers)
    }

    /// The name of a new client. None is 0.
    pub fn join(&self) -> u64 {
        let mut queue = self.lock();
        queue.next += 1;
        let client = queue.next;
        queue.clients.insert(client, Client::default());
        client
    }

    /// A client has gone: what no worker has begun for it is dropped.
    pub fn leave(&self, client: u64) {
        let gone = self.lock().clients.remove(&client);
        drop(gone);
    }

    /// Something to do for a client, after what there is to do for it already.
    pub fn give(&self, client: u64, job: Job) {
        let mut queue = self.lock();
        if let Some(it) = queue.clients.get_mut(&client) {
            it.jobs.push_back(job);
            self.let_stand(&mut queue, client);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client stands for its turn if there is something to do for it, and it may have one more worker.
    fn let_stand(&self, queue: &mut Queue, client: u64) {
        let Some(it) = queue.clients.get_mut(&client) else { return };
        if !it.has_turn && !it.jobs.is_empty() && it.workers < self.share {
            it.has_turn = true;
            queue.turns.push_back(client);
            self.work.notify_one();
        }
    }

    /// What a worker does.
    fn work(&self) {
        loop {
            let (client, job) = self.take();
            job.answers.put(job.number, work(&job.request));
            let mut queue = self.lock();
            if let Some(it) = queue.clients.get_mut(&client) {
                it.workers -= 1;
            }
            self.let_stand(&mut queue, client);
        }
    }

    /// Waits for the next job of the client whose turn it is.
    fn take(&self) -> (u64, Job) {
        let mut queue = self.lock();
        loop {
            while let Some(client) = queue.turns.pop_front() {
                // It may have gone.
                let Some(it) = queue.clients.get_mut(&client) else { continue };
                it.has_turn = false;
                let Some(job) = it.jobs.pop_front() else { continue };
                it.workers += 1;
                self.let_stand(&mut queue, client);
                return (client, job);
            }
            queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
