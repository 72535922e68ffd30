//! A bounded queue and the threads that work it off.

use std::io;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use parking_lot::{Condvar, Mutex};

use super::turns::{Came, Turns};
use crate::clock;

/// The queue has no room, or the pool has ended; the job was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pool's queue is full")]
pub struct Full;

/// What a pool does.
pub trait Task: Send + 'static {
    /// Does it.
    fn run(self);

    /// Whose it is: of everybody's the same number is done, as long as they wait.
    fn whose(&self) -> IpAddr;

    /// It was taken, and is not done after all: others have waited for less. Does not block.
    fn turn_away(self);
}

/// Where jobs are handed in; cheap to clone, and outlives the pool harmlessly.
#[derive(Debug)]
pub struct Desk<J> {
    queue: Arc<Queue<J>>,
}

impl<J> Clone for Desk<J> {
    fn clone(&self) -> Self {
        Self { queue: Arc::clone(&self.queue) }
    }
}

impl<J: Task> Desk<J> {
    /// Hands in a job; never waits.
    ///
    /// # Errors
    /// [`Full`] when the queue has no room or the pool has ended.
    pub fn submit(&self, job: J) -> Result<(), Full> {
        let mut state = self.queue.state.lock();
        if state.is_stopped {
            return Err(Full);
        }
        let whose = job.whose();
        let came = state.turns.put(whose, job);
        drop(state);
        match came {
            Came::In => {
                self.queue.some.notify_one();
                Ok(())
            }
            Came::For(other) => {
                other.turn_away();
                Ok(())
            }
            Came::Full(_) => Err(Full),
        }
    }

    /// Whether each thread has been at its job for longer than that, so that nothing waits but in vain. It is
    /// logged once, and when one is free again.
    #[must_use]
    pub fn is_held_up(&self, patience: Duration, now: Instant) -> bool {
        let mut state = self.queue.state.lock();
        let is_held = |since: &Option<Instant>| since.is_some_and(|since| now > since + patience);
        let is_held_up = state.since.iter().all(is_held);
        let is_news = is_held_up && !state.is_held_up;
        state.is_held_up |= is_held_up;
        let threads = state.since.len();
        drop(state);
        if is_news {
            tracing::error!(
                "all {threads} threads {:?} have been held for more than {patience:.0?}: what they are for \
                 is refused until one is free",
                self.queue.name
            );
        }
        is_held_up
    }

    /// Jobs that no thread has taken yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.state.lock().turns.waiting()
    }
}

/// What waits, and for whom. Held for as long as it takes to put a job there, or to take one.
#[derive(Debug)]
struct Queue<J> {
    /// What the threads are called.
    name: String,
    state: Mutex<State<J>>,
    /// There is something to do, or nothing any more.
    some: Condvar,
}

#[derive(Debug)]
struct State<J> {
    turns: Turns<J>,
    is_stopped: bool,
    /// Of each thread, since when it has been at its job.
    since: Vec<Option<Instant>>,
    /// All of them were held when last asked.
    is_held_up: bool,
}

impl<J> Queue<J> {
    fn new(name: &str, threads: usize, waiting_max: usize) -> Self {
        let state = State {
            turns: Turns::new(waiting_max),
            is_stopped: false,
            since: vec![None; threads],
            is_held_up: false,
        };
        Self { name: name.to_owned(), state: Mutex::new(state), some: Condvar::new() }
    }

    /// The next job for this thread, which is waited for; none after the stop, however many wait.
    fn next(&self, thread: usize) -> Option<J> {
        let mut state = self.state.lock();
        state.since[thread] = None;
        if std::mem::take(&mut state.is_held_up) {
            drop(state);
            tracing::info!("one of the threads {:?} is free again", self.name);
            state = self.state.lock();
        }
        loop {
            if state.is_stopped {
                return None;
            }
            if let Some(job) = state.turns.take() {
                state.since[thread] = Some(clock::mono());
                return Some(job);
            }
            self.some.wait(&mut state);
        }
    }

    /// Nothing is done any more. What waits is dropped.
    fn stop(&self) {
        let mut state = self.state.lock();
        state.is_stopped = true;
        let left = std::mem::replace(&mut state.turns, Turns::new(0));
        drop(state);
        self.some.notify_all();
        drop(left);
    }
}

/// Threads that work off one queue. Dropped, it stops them and waits for the jobs at hand; jobs
/// that still queue are dropped.
#[derive(Debug)]
pub struct Pool<J> {
    desk: Desk<J>,
    /// Hung up when the last thread has ended.
    ended: Receiver<()>,
    threads: Vec<JoinHandle<()>>,
}

impl<J: Task> Pool<J> {
    /// Starts `threads` threads, at least one, named `name` and their number, that each do one job after the
    /// other; at most `queue_max` jobs wait for them.
    ///
    /// # Errors
    /// What the system says when it has no more threads.
    pub fn start(name: &str, threads: usize, queue_max: usize) -> io::Result<Self> {
        let threads = threads.max(1);
        let queue = Arc::new(Queue::new(name, threads, queue_max.max(1)));
        let (ending, ended) = bounded(0);
        let mut pool = Self { desk: Desk { queue }, ended, threads: Vec::new() };
        for number in 0..threads {
            let (queue, ending) = (Arc::clone(&pool.desk.queue), ending.clone());
            let thread =
                thread::Builder::new().name(format!("{name}-{number}")).spawn(move || {
                    work(&queue, number);
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
}

impl<J> Pool<J> {
    /// Stops the threads and waits for them until `until`. One that is held by the system longer
    /// than that is left behind, to end with its job or with the process.
    ///
    /// Returns how many were left behind.
    pub fn close(mut self, until: Instant) -> usize {
        self.desk.queue.stop();
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
        self.desk.queue.stop();
        for thread in self.threads.drain(..) {
            // `work` catches what its jobs throw.
            if thread.join().is_err() {
                tracing::error!("a thread of a pool ended in a panic");
            }
        }
    }
}

fn work<J: Task>(queue: &Queue<J>, thread: usize) {
    while let Some(job) = queue.next(thread) {
        if catch_unwind(AssertUnwindSafe(|| job.run())).is_err() {
            tracing::error!("a job of a pool ended in a panic");
        }
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::Sender;

    use super::*;

    /// A job of a test.
    enum Trial {
        /// Says that it has begun, then waits to be let go.
        Hold {
            begun: Sender<()>,
            go: Receiver<()>,
        },
        Panic,
        Name(Sender<Option<String>>),
        /// Whose, and to whom it says whether it was done.
        Of(u8, Sender<(u8, bool)>),
    }

    impl Task for Trial {
        fn run(self) {
            run(self);
        }

        fn whose(&self) -> IpAddr {
            match self {
                Self::Hold { .. } | Self::Panic | Self::Name(_) => [192, 0, 2, 1].into(),
                Self::Of(number, _) => [192, 0, 2, *number].into(),
            }
        }

        fn turn_away(self) {
            if let Self::Of(number, answer) = self {
                answer.send((number, false)).unwrap();
            }
        }
    }

    fn run(task: Trial) {
        match task {
            Trial::Hold { begun, go } => {
                begun.send(()).unwrap();
                // Hung up means go, too.
                go.recv().unwrap_or_default();
            }
            Trial::Panic => panic!("on purpose"),
            Trial::Of(number, answer) => answer.send((number, true)).unwrap(),
            Trial::Name(answer) => {
                answer.send(thread::current().name().map(str::to_owned)).unwrap();
            }
        }
    }

    fn soon() -> Instant {
        clock::mono() + Duration::from_secs(20)
    }

    /// A pool of one thread that is held, and what lets it go.
    fn held(queue_max: usize) -> (Pool<Trial>, Sender<()>) {
        let pool = Pool::start("test", 1, queue_max).unwrap();
        let ((begun, has_begun), (let_go, go)) = (bounded(1), bounded(1));
        pool.desk().submit(Trial::Hold { begun, go }).unwrap();
        has_begun.recv_deadline(soon()).unwrap();
        (pool, let_go)
    }

    #[test]
    fn jobs_run_on_a_thread_that_bears_the_pools_name() {
        let pool = Pool::<Trial>::start("hash", 2, 4).unwrap();
        let (answer, answers) = bounded(1);
        pool.desk().submit(Trial::Name(answer)).unwrap();
        let name = answers.recv_deadline(soon()).unwrap().unwrap();
        assert!(name == "hash-0" || name == "hash-1", "{name}");
        assert_eq!(pool.close(soon()), 0);
    }

    #[test]
    fn a_full_queue_is_an_answer_at_once_and_has_room_again_later() {
        let (pool, let_go) = held(2);
        let desk = pool.desk();
        let (answer, answers) = bounded(8);
        assert_eq!(desk.submit(Trial::Name(answer.clone())), Ok(()));
        assert_eq!(desk.submit(Trial::Name(answer.clone())), Ok(()));
        assert_eq!(desk.waiting(), 2);
        assert_eq!(desk.submit(Trial::Name(answer.clone())), Err(Full));
        drop(let_go);
        answers.recv_deadline(soon()).unwrap();
        answers.recv_deadline(soon()).unwrap();
        assert_eq!(desk.submit(Trial::Name(answer)), Ok(()));
        answers.recv_deadline(soon()).unwrap();
    }

    #[test]
    fn whoever_fills_the_queue_gives_way_and_is_told() {
        let (pool, let_go) = held(4);
        let (desk, (answer, answers)) = (pool.desk(), bounded(8));
        let submit = |number| desk.submit(Trial::Of(number, answer.clone()));
        for _ in 0..4 {
            assert_eq!(submit(1), Ok(()));
        }
        assert_eq!((submit(1), submit(2)), (Err(Full), Ok(())));
        assert_eq!((answers.recv_deadline(soon()), desk.waiting()), (Ok((1, false)), 4));
        drop(let_go);
        let served: Vec<_> = (0..4).map(|_| answers.recv_deadline(soon()).unwrap()).collect();
        assert_eq!(served, [(1, true), (2, true), (1, true), (1, true)]);
    }

    #[test]
    fn threads_that_are_all_held_for_long_are_noticed_until_one_is_free() {
        let (pool, let_go) = held(4);
        let (desk, second) = (pool.desk(), Duration::from_secs(1));
        let later = clock::mono() + 2 * second;
        assert!(!desk.is_held_up(3 * second, later) && desk.is_held_up(second, later));
        let (answer, answers) = bounded(1);
        desk.submit(Trial::Name(answer)).unwrap();
        drop(let_go);
        answers.recv_deadline(soon()).unwrap();
        assert!(!desk.is_held_up(3 * second, later));
    }

    #[test]
    fn a_panic_does_not_cost_the_thread() {
        let pool = Pool::<Trial>::start("test", 1, 4).unwrap();
        let (answer, answers) = bounded(1);
        pool.desk().submit(Trial::Panic).unwrap();
        pool.desk().submit(Trial::Name(answer)).unwrap();
        assert_eq!(answers.recv_deadline(soon()).unwrap().as_deref(), Some("test-0"));
    }

    #[test]
    fn a_dropped_pool_has_ended_its_threads_and_takes_no_job() {
        let pool = Pool::<Trial>::start("test", 3, 4).unwrap();
        let (desk, ended) = (pool.desk(), pool.ended.clone());
        drop(pool);
        assert!(ended.try_recv().is_err_and(|error| error.is_disconnected()));
        assert_eq!(desk.submit(Trial::Panic), Err(Full));
    }

    #[test]
    fn a_thread_that_is_held_too_long_is_left_behind() {
        let (pool, let_go) = held(1);
        let ended = pool.ended.clone();
        assert_eq!(pool.close(clock::mono()), 1);
        drop(let_go);
        assert_eq!(ended.recv_deadline(soon()), Err(RecvTimeoutError::Disconnected));
    }
}
