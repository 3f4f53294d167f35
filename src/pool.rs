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

    /// The first item in order waits until the second has failed: still its error is the one that is returned.
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
    fn items_after_a_failure_are_called_off_and_those_before_it_are_not() {
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
