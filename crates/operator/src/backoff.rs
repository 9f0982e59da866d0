//! How long to wait after a failed pass: per cluster, exponential with jitter, forgotten on success. One cluster's
//! trouble never slows another's passes.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::cluster::ClusterRef;

/// The first delay: a lost race or a restarting API server is over in less.
const FIRST: Duration = Duration::from_millis(200);
/// The longest delay: a person who repaired a permission should not wait longer to see the effect.
const LONGEST: Duration = Duration::from_secs(30);

/// Consecutive failures of each cluster in one loop.
#[derive(Debug, Default)]
pub struct Backoff(Mutex<HashMap<ClusterRef, u32>>);

impl Backoff {
    /// Counts a failure and says how long to wait.
    pub fn failed(&self, cluster: &ClusterRef) -> Duration {
        let mut failures = self.lock();
        let count = failures.entry(cluster.clone()).or_default();
        *count = count.saturating_add(1);
        delay(*count, rand::random::<f64>())
    }

    /// The last pass went well, or the cluster is gone.
    pub fn reset(&self, cluster: &ClusterRef) {
        self.lock().remove(cluster);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ClusterRef, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The delay after so many failures in a row. `chance`, from 0 to 1, takes away up to half of it, so that clusters that
/// failed together do not come back together.
fn delay(failures: u32, chance: f64) -> Duration {
    let doubled = FIRST.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
    doubled.min(LONGEST).mul_f64(1.0 - chance.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_limit() {
        assert_eq!(delay(1, 0.0), FIRST);
        assert_eq!(delay(3, 0.0), FIRST * 4);
        assert_eq!(delay(20, 0.0), LONGEST);
        assert_eq!(delay(u32::MAX, 0.0), LONGEST);
    }

    #[test]
    fn jitter_takes_away_at_most_half() {
        assert_eq!(delay(1, 1.0), FIRST / 2);
        assert!(delay(2, 0.5) > FIRST && delay(2, 0.5) < FIRST * 2);
    }

    #[test]
    fn a_success_forgets_the_failures_of_that_cluster_only() {
        let backoff = Backoff::default();
        let [a, b] = ["a", "b"].map(|name| ClusterRef { namespace: "n".into(), name: name.into() });
        for _ in 0..6 {
            backoff.failed(&a);
            backoff.failed(&b);
        }
        backoff.reset(&a);
        assert!(backoff.failed(&a) <= FIRST);
        assert!(backoff.failed(&b) > FIRST * 4);
    }
}
