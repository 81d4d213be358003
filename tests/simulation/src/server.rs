//! The program of the server: a reactor that serves all services, and is shut down.

use std::io;
use std::time::Duration;

use corepoll::{Acceptor, Reactor, ReactorHandle, RemoteJoinHandle, time};
use fastrand::Rng;

use crate::actors::computing::compute;
use crate::actors::echo_handler::Echo;
use crate::actors::echo_task::echo;
use crate::actors::task_timers::use_timers;
use crate::actors::tasks::use_tasks;
use crate::model::{Incoming, model, now};
use crate::plan::Service;

/// How long a connection may take to end after its client has: the default of
/// `Budget::close_linger`, and a turn.
const LAST_ENDS: Duration = Duration::from_secs(6);

/// Serves until all clients have ended, or until the shutdown that is planned.
///
/// # Errors
///
/// Returns what the reactor returns.
pub async fn run() -> io::Result<()> {
    let model = model();
    let served = serve().await;
    // Clients that wait for it see that nothing listens.
    model.is_listening.set(true);
    model.is_shut_down.set(true);
    match served {
        // There was no descriptor for a poller or a listener.
        Err(error) if model.plan.lacks_descriptors && error.to_string().contains("24") => Ok(()),
        served => served,
    }
}

/// Makes the reactor, and ends it.
async fn serve() -> io::Result<()> {
    let model = model();
    let reactor = Reactor::builder().pollers(model.plan.pollers).build()?;
    let handle = reactor.handle();
    let new = || Echo::resume(Incoming::default());
    let _listening = [
        listen(Service::Handler).listen(&handle, new)?,
        listen(Service::HandOver).listen(&handle, new)?,
        listen(Service::Task).serve(&handle, |stream, _| echo(stream, Incoming::default()))?,
    ];
    let running = reactor.start()?;
    let background = start_background(&handle);
    model.is_listening.set(true);
    let is_early = !wait_for_clients().await;
    if !is_early {
        for task in background {
            if let Err(error) = task.await {
                model.violated(format_args!("a task of the server: {error}"));
            }
        }
        time::sleep(LAST_ENDS).await;
        check_rest(&handle);
    }
    model.is_shut_down.set(true);
    let grace = model.plan.grace;
    let begun = now();
    handle.shutdown(grace);
    running.join()?;
    model.check_prompt("the shutdown after its grace", (now() - begun).saturating_sub(grace));
    Ok(())
}

/// Returns the listener of a service.
fn listen(service: Service) -> Acceptor {
    Acceptor::new(format!("0.0.0.0:{}", service.port()))
}

/// Starts the tasks of each poller that serve no connection.
fn start_background(handle: &ReactorHandle) -> Vec<RemoteJoinHandle<()>> {
    let plan = &model().plan;
    let mut rng = Rng::with_seed(plan.seed);
    let mut background = Vec::new();
    for poller in handle.pollers() {
        for _ in 0..plan.timers {
            let rng = rng.fork();
            background.push(poller.spawn_on(move || use_timers(rng)));
        }
        for _ in 0..plan.tasks {
            let (rng, handle) = (rng.fork(), handle.clone());
            background.push(poller.spawn_on(move || use_tasks(handle, rng)));
        }
        let (count, time, polls) = plan.computing;
        for _ in 0..count {
            background.push(poller.spawn_on(move || compute(time, polls)));
        }
    }
    background
}

/// Waits until all clients have ended. Returns `false` if the shutdown comes first.
async fn wait_for_clients() -> bool {
    let model = model();
    let begun = now();
    let mut pause = Duration::from_millis(10);
    while model.clients_left.get() > 0 {
        if model.plan.shutdown_at.is_some_and(|at| now() - begun >= at) {
            return false;
        }
        time::sleep(pause).await;
        pause = (pause * 5 / 4).min(Duration::from_secs(10));
    }
    true
}

/// Checks that nothing is left of the connections and of the tasks.
fn check_rest(handle: &ReactorHandle) {
    for (index, stats) in handle.stats().into_iter().enumerate() {
        if (stats.connections, stats.tasks, stats.mail_waiting) != (0, 0, 0) {
            model().violated(format_args!("poller {index} has something left: {stats:?}"));
        }
    }
}
