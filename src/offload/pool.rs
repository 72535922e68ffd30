//! A bounded queue and the threads that work it off.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, select_biased};

/// The queue has no room, or the pool has ended; the job was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pool's queue is full")]
pub struct Full;

/// Where jobs are handed in; cheap to clone, and outlives the pool harmlessly.
#[derive(Debug)]
pub struct Desk<J> {
    jobs: Sender<J>,
}

impl<J> Clone for Desk<J> {
    fn clone(&self) -> Self {
        Self { jobs: self.jobs.clone() }
    }
}

impl<J> Desk<J> {
    /// Hands in a job; never waits.
    ///
    /// # Errors
    /// [`Full`] when the queue has no room or the pool has ended.
    pub fn submit(&self, job: J) -> Result<(), Full> {
        self.jobs.try_send(job).map_err(|_| Full)
    }

    /// Jobs that no thread has taken yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.jobs.len()
    }
}

/// Threads that work off one queue. Dropped, it stops them and waits for the jobs at hand; jobs
/// that still queue are dropped.
#[derive(Debug)]
pub struct Pool<J> {
    desk: Desk<J>,
    /// Hung up to stop the threads.
    stop: Option<Sender<()>>,
    /// Hung up when the last thread has ended.
    ended: Receiver<()>,
    threads: Vec<JoinHandle<()>>,
}

impl<J: Send + 'static> Pool<J> {
    /// Starts `threads` threads, at least one, named `name` and their number, that each `run` one
    /// job after the other; at most `queue_max` jobs wait for them.
    ///
    /// # Errors
    /// What the system says when it has no more threads.
    pub fn start(name: &str, threads: usize, queue_max: usize, run: fn(J)) -> io::Result<Self> {
        let (jobs, queue) = bounded(queue_max.max(1));
        let (stop, stopped) = bounded(0);
        let (ending, ended) = bounded(0);
        let mut pool = Self { desk: Desk { jobs }, stop: Some(stop), ended, threads: Vec::new() };
        for number in 0..threads.max(1) {
            let (queue, stopped, ending) = (queue.clone(), stopped.clone(), ending.clone());
            let thread =
                thread::Builder::new().name(format!("{name}-{number}")).spawn(move || {
                    work(&queue, &stopped, run);
                    drop(ending);
                })?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    /// Where jobs are handed in.
    #[must_use]
    pub fn desk(&self) -> Desk<J> {
        self.desk.clone()
    }

    /// Stops the threads and waits for them until `until`. One that is held by the system longer
    /// than that is left behind, to end with its job or with the process.
    ///
    /// Returns how many were left behind.
    pub fn close(mut self, until: Instant) -> usize {
        self.stop = None;
        match self.ended.recv_deadline(until) {
            // All have hung up, and are about to end: dropping joins them.
            Err(RecvTimeoutError::Disconnected) | Ok(()) => 0,
            Err(RecvTimeoutError::Timeout) => {
                let started = self.threads.len();
                self.threads.retain(JoinHandle::is_finished);
                started - self.threads.len()
            }
        }
    }
}

impl<J> Drop for Pool<J> {
    fn drop(&mut self) {
        self.stop = None;
        for thread in self.threads.drain(..) {
            // `work` catches what its jobs throw.
            if thread.join().is_err() {
                tracing::error!("a thread of a pool ended in a panic");
            }
        }
    }
}

fn work<J>(queue: &Receiver<J>, stopped: &Receiver<()>, run: fn(J)) {
    loop {
        // The stop comes first, however many jobs wait.
        select_biased! {
            recv(stopped) -> _ => return,
            recv(queue) -> job => {
                let Ok(job) = job else { return };
                if catch_unwind(AssertUnwindSafe(|| run(job))).is_err() {
                    tracing::error!("a job of a pool ended in a panic");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A job of a test.
    enum Task {
        /// Says that it has begun, then waits to be let go.
        Hold {
            begun: Sender<()>,
            go: Receiver<()>,
        },
        Panic,
        Name(Sender<Option<String>>),
    }

    fn run(task: Task) {
        match task {
            Task::Hold { begun, go } => {
                begun.send(()).unwrap();
                // Hung up means go, too.
                go.recv().unwrap_or_default();
            }
            Task::Panic => panic!("on purpose"),
            Task::Name(answer) => {
                answer.send(thread::current().name().map(str::to_owned)).unwrap();
            }
        }
    }

    fn soon() -> Instant {
        crate::clock::mono() + Duration::from_secs(20)
    }

    /// A pool of one thread that is held, and what lets it go.
    fn held(queue_max: usize) -> (Pool<Task>, Sender<()>) {
        let pool = Pool::start("test", 1, queue_max, run).unwrap();
        let ((begun, has_begun), (let_go, go)) = (bounded(1), bounded(1));
        pool.desk().submit(Task::Hold { begun, go }).unwrap();
        has_begun.recv_deadline(soon()).unwrap();
        (pool, let_go)
    }

    #[test]
    fn jobs_run_on_a_thread_that_bears_the_pools_name() {
        let pool = Pool::start("hash", 2, 4, run).unwrap();
        let (answer, answers) = bounded(1);
        pool.desk().submit(Task::Name(answer)).unwrap();
        let name = answers.recv_deadline(soon()).unwrap().unwrap();
        assert!(name == "hash-0" || name == "hash-1", "{name}");
        assert_eq!(pool.close(soon()), 0);
    }

    #[test]
    fn a_full_queue_is_an_answer_at_once_and_has_room_again_later() {
        let (pool, let_go) = held(2);
        let desk = pool.desk();
        let (answer, answers) = bounded(8);
        assert_eq!(desk.submit(Task::Name(answer.clone())), Ok(()));
        assert_eq!(desk.submit(Task::Name(answer.clone())), Ok(()));
        assert_eq!(desk.waiting(), 2);
        assert_eq!(desk.submit(Task::Name(answer.clone())), Err(Full));
        drop(let_go);
        answers.recv_deadline(soon()).unwrap();
        answers.recv_deadline(soon()).unwrap();
        assert_eq!(desk.submit(Task::Name(answer)), Ok(()));
        answers.recv_deadline(soon()).unwrap();
    }

    #[test]
    fn a_panic_does_not_cost_the_thread() {
        let pool = Pool::start("test", 1, 4, run).unwrap();
        let (answer, answers) = bounded(1);
        pool.desk().submit(Task::Panic).unwrap();
        pool.desk().submit(Task::Name(answer)).unwrap();
        assert_eq!(answers.recv_deadline(soon()).unwrap().as_deref(), Some("test-0"));
    }

    #[test]
    fn a_dropped_pool_has_ended_its_threads_and_takes_no_job() {
        let pool = Pool::start("test", 3, 4, run).unwrap();
        let (desk, ended) = (pool.desk(), pool.ended.clone());
        drop(pool);
        assert!(ended.try_recv().is_err_and(|error| error.is_disconnected()));
        assert_eq!(desk.submit(Task::Panic), Err(Full));
    }

    #[test]
    fn a_thread_that_is_held_too_long_is_left_behind() {
        let (pool, let_go) = held(1);
        let ended = pool.ended.clone();
        assert_eq!(pool.close(crate::clock::mono()), 1);
        drop(let_go);
        assert_eq!(ended.recv_deadline(soon()), Err(RecvTimeoutError::Disconnected));
    }
}
