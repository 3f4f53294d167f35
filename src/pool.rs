//! The one place where work is spread over threads.
//!
//! A [`Pool`] maps over items in parallel and hands results back in the items' order, so that nothing downstream can
//! tell how many threads there were. With one thread the same calls run on the caller's.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A number of worker threads.
#[derive(Debug, Clone)]
pub struct Pool {
    workers: Option<Arc<rayon::ThreadPool>>,
}

impl Pool {
    /// A pool of `threads` workers; one for each processor where it is `None` or 0.
    ///
    /// Falls back to the caller's thread where the system grants no more.
    #[must_use]
    pub fn new(threads: Option<usize>) -> Self {
        let threads = threads
            .filter(|&n| n > 0)
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
        if threads == 1 {
            return Self { workers: None };
        }
        let workers = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("sweep-{index}"))
            .build()
            .ok()
            .map(Arc::new);
        Self { workers }
    }

    /// How many workers there are.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.workers.as_ref().map_or(1, |workers| workers.current_num_threads())
    }

    /// Applies `work` to every item, with scratch space that `scratch` makes once for each worker, and hands the
    /// results back in order.
    ///
    /// # Errors
    /// That of the first item, in order, which fails; items after it are called off.
    pub fn map_with<T, S, R, E>(
        &self,
        items: Vec<T>,
        scratch: impl Fn() -> S + Sync + Send,
        work: impl Fn(&mut S, T) -> Result<R, E> + Sync + Send,
    ) -> Result<Vec<R>, E>
    where
        T: Send,
        S: Send,
        R: Send,
        E: Send,
    {
        let Some(workers) = &self.workers else {
            let mut scratch = scratch();
            return items.into_iter().map(|item| work(&mut scratch, item)).collect();
        };
        // Items are taken from the front, so that what is handed on in their order never waits for long.
        let queue = Mutex::new(items.into_iter().enumerate());
        let take = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        // Index of the earliest item that failed: what comes before it is still worth trying, what comes after is not.
        let failed = AtomicUsize::new(usize::MAX);
        let done = workers.broadcast(|_| {
            let mut own = scratch();
            let mut done = Vec::new();
            while let Some((index, item)) = take().filter(|(index, _)| *index < failed.load(Ordering::Relaxed)) {
                let result = work(&mut own, item);
                if result.is_err() {
                    failed.fetch_min(index, Ordering::Relaxed);
                }
                done.push((index, result));
            }
            done
        });
        let mut done: Vec<(usize, Result<R, E>)> = done.into_iter().flatten().collect();
        done.sort_unstable_by_key(|(index, _)| *index);
        done.into_iter().map(|(_, result)| result).collect()
    }

    /// Applies `work` to every item, and hands the results back in order.
    ///
    /// # Errors
    /// As [`map_with`](Self::map_with).
    pub fn map<T, R, E>(&self, items: Vec<T>, work: impl Fn(T) -> Result<R, E> + Sync + Send) -> Result<Vec<R>, E>
    where
        T: Send,
        R: Send,
        E: Send,
    {
        self.map_with(items, || (), |(), item| work(item))
    }

    /// Runs both at the same time where there are threads for it.
    pub fn join<A: Send, B: Send>(&self, a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
        match &self.workers {
            None => (a(), b()),
            Some(workers) => workers.install(|| rayon::join(a, b)),
        }
    }
}
