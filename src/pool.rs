//! The one place that distributes work over threads.
//!
//! A [`Pool`] maps over items in parallel and returns the results in the items' order, so that no result depends on the
//! number of threads. With one thread the work runs on the caller's thread.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Worker threads; a clone shares them.
#[derive(Debug, Clone)]
pub struct Pool {
    workers: Option<Arc<rayon::ThreadPool>>,
}

impl Pool {
    /// A pool of `threads` workers; `None` or 0 means one for each processor.
    ///
    /// If the system does not start the threads, the work runs on the caller's thread.
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

    /// The number of workers; at least 1.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.workers.as_ref().map_or(1, |workers| workers.current_num_threads())
    }

    /// Applies `work` to every item and returns the results in order. `scratch` is called once for each worker; its
    /// value is passed to every call of `work` on that worker.
    ///
    /// # Errors
    /// The error of the first item, in order, that fails; items after it are not started.
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
        // Items are taken from the front, so that a failure cancels as many later items as possible.
        let queue = Mutex::new(items.into_iter().enumerate());
        let take = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        // Index of the earliest item that failed. Items before it must still run: one of them may fail, too.
        let failed = AtomicUsize::new(usize::MAX);
        let done = workers.broadcast(|_| {
            let mut scratch = scratch();
            let mut done = Vec::new();
            while let Some((index, item)) = take().filter(|(index, _)| *index < failed.load(Ordering::Relaxed)) {
                let result = work(&mut scratch, item);
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

    /// Applies `work` to every item and returns the results in order.
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

    /// Runs both closures, in parallel if there is more than one worker.
    pub fn join<A: Send, B: Send>(&self, a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
        match &self.workers {
            None => (a(), b()),
            Some(workers) => workers.install(|| rayon::join(a, b)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        for threads in [1, 2, 5] {
            let doubled = Pool::new(Some(threads)).map((0..1000).collect(), |item: u32| Ok::<_, ()>(item * 2));
            assert_eq!(doubled, Ok((0..1000).map(|item| item * 2).collect()));
        }
    }

    /// The second item fails before the first: the error of the first is returned all the same.
    #[test]
    fn the_error_is_that_of_the_first_item_in_order_whichever_fails_first() {
        let second_is_running = Barrier::new(2);
        let outcome = Pool::new(Some(2)).map(vec![0, 1, 2], |item| -> Result<u32, u32> {
            match item {
                0 => {
                    second_is_running.wait();
                    std::thread::sleep(std::time::Duration::from_millis(50));
                    Err(0)
                }
                1 => {
                    second_is_running.wait();
                    Err(1)
                }
                item => Ok(item),
            }
        });
        assert_eq!(outcome, Err(0));
    }

    #[test]
    fn items_after_a_failure_are_not_started_and_those_before_it_are() {
        for threads in [1, 2, 5] {
            let tried = AtomicUsize::new(0);
            let outcome = Pool::new(Some(threads)).map((0..10_000).collect(), |item: usize| {
                tried.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(std::time::Duration::from_micros(10));
                if item >= 50 && item % 10 == 3 { Err(item) } else { Ok(item) }
            });
            assert_eq!(outcome, Err(53), "{threads} threads");
            let tried = tried.into_inner();
            assert!((54..5_000).contains(&tried), "{tried} items were tried by {threads} threads");
        }
    }

    #[test]
    fn every_worker_has_scratch_space_of_its_own() {
        let made = AtomicUsize::new(0);
        let fresh = || {
            made.fetch_add(1, Ordering::Relaxed);
            0
        };
        let outcome = Pool::new(Some(3)).map_with(vec![1; 300], fresh, |sum, item| {
            *sum += item;
            Ok::<_, ()>(*sum)
        });
        let (most, made) = (outcome.unwrap().into_iter().max(), made.into_inner());
        assert!(made <= 3 && most >= Some(100), "{made} were made, and {most:?} is the longest share");
    }
}
