//! The one place that spawns tasks.
//!
//! A task belongs to a [`Tasks`], which ends it when dropped, so nothing runs on after its owner; and a task that
//! panics is an ERROR in the log with its name, never a silence.

use std::future::Future;

use tokio::task::{AbortHandle, JoinSet};

/// Tasks that live no longer than this value.
#[derive(Debug, Default)]
pub struct Tasks {
    running: JoinSet<()>,
}

impl Tasks {
    /// No tasks.
    pub fn new() -> Tasks {
        Tasks::default()
    }

    /// Starts `task` on the current runtime; `name` says in the log what panicked. The handle can end it early.
    ///
    /// Amortised O(1): what has ended since the last call is let go first.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn spawn(
        &mut self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> AbortHandle {
        while self.running.try_join_next().is_some() {}
        self.running.spawn(async move {
            let _witness = Witness { name };
            task.await;
        })
    }

    /// Waits until every task has ended by itself.
    pub async fn join(&mut self) {
        while self.running.join_next().await.is_some() {}
    }

    /// Ends every task and waits until they are gone.
    pub async fn stop(&mut self) {
        self.running.shutdown().await;
    }
}

/// Sees the end of a task, and says so if the end is a panic.
struct Witness {
    name: &'static str,
}

impl Drop for Witness {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(task = self.name, "a task panicked");
        }
    }
}
