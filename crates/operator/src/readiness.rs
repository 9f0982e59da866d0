//! Whether every scope's watches have seen everything once.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the scopes that still list.
#[derive(Debug)]
pub struct Readiness {
    waiting: AtomicUsize,
}

impl Readiness {
    /// Not ready before so many scopes have listed everything.
    pub const fn of_scopes(scopes: usize) -> Self {
        Self { waiting: AtomicUsize::new(scopes) }
    }

    /// One more scope has listed everything.
    pub fn scope_listed(&self) {
        // Never below zero, whatever the callers do.
        let _ = self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    }

    /// Whether all have.
    pub fn is_ready(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) == 0
    }
}
