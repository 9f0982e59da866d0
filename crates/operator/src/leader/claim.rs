//! The right to act, with an expiry.

use tokio::sync::watch;
use tokio::time::Instant;

/// The right to act, as long as it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim(Term);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Term {
    None,
    Until(Instant),
    Endless,
}

impl Claim {
    /// No right to act.
    pub const NONE: Self = Self(Term::None);

    /// Until that time on this machine's monotonic clock.
    pub const fn until(expiry: Instant) -> Self {
        Self(Term::Until(expiry))
    }

    /// When it ends; `None` when it has no end or there is none.
    pub fn expiry(self) -> Option<Instant> {
        match self.0 {
            Term::Until(expiry) => Some(expiry),
            Term::None | Term::Endless => None,
        }
    }

    fn is_held_at(self, now: Instant) -> bool {
        match self.0 {
            Term::None => false,
            Term::Until(expiry) => now < expiry,
            Term::Endless => true,
        }
    }
}

/// What the process reads of its candidate's success.
#[derive(Clone, Debug)]
pub struct Leadership(watch::Receiver<Claim>);

impl Leadership {
    /// Of a candidate that publishes its claims here.
    pub fn following(claims: watch::Receiver<Claim>) -> Self {
        Self(claims)
    }

    /// Of a process that shares its clusters with no other one, such as the operator on a developer's machine.
    pub fn sole() -> Self {
        // A receiver keeps the last value when its sender is gone.
        Self(watch::channel(Claim(Term::Endless)).1)
    }

    /// Whether this process may act at this moment. To be asked before every single act.
    pub fn is_held(&self) -> bool {
        self.0.borrow().is_held_at(Instant::now())
    }

    /// Ends when this process may not act any more; at once if it may not now.
    pub async fn lost(&self) {
        let mut claims = self.0.clone();
        loop {
            let claim = *claims.borrow_and_update();
            if !claim.is_held_at(Instant::now()) {
                return;
            }
            tokio::select! {
                changed = claims.changed() => if changed.is_err() && claim.expiry().is_none() {
                    // Nobody is left to take it away.
                    return std::future::pending().await;
                } else if changed.is_err() {
                    super::at(claim.expiry()).await;
                },
                () = super::at(claim.expiry()) => {}
            }
        }
    }

    /// Ends when this process may act; at once if it may now.
    pub async fn gained(&self) {
        let mut claims = self.0.clone();
        loop {
            if claims.borrow_and_update().is_held_at(Instant::now()) {
                return;
            }
            if claims.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::sleep_until;

    fn claims(first: Claim) -> (watch::Sender<Claim>, Leadership) {
        let (sender, receiver) = watch::channel(first);
        (sender, Leadership::following(receiver))
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_ends_by_itself_when_nobody_renews_it() {
        let (_sender, leadership) = claims(Claim::until(Instant::now() + Duration::from_secs(10)));
        assert!(leadership.is_held());
        let before = Instant::now();
        leadership.lost().await;
        assert_eq!(before.elapsed().as_secs(), 10);
        assert!(!leadership.is_held());
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_extends_the_claim_that_others_already_wait_for() {
        let (sender, leadership) = claims(Claim::until(Instant::now() + Duration::from_secs(10)));
        let before = Instant::now();
        let ((), ()) = tokio::join!(
            async {
                sleep_until(before + Duration::from_secs(5)).await;
                sender.send_replace(Claim::until(Instant::now() + Duration::from_secs(10)));
            },
            leadership.lost()
        );
        assert_eq!(before.elapsed().as_secs(), 15);
    }

    #[tokio::test(start_paused = true)]
    async fn taking_a_claim_away_and_giving_one_are_seen_at_once() {
        let (sender, leadership) = claims(Claim::NONE);
        leadership.lost().await;
        let before = Instant::now();
        tokio::join!(leadership.gained(), async {
            sender.send_replace(Claim::until(before + Duration::from_secs(1)))
        });
        assert_eq!(before.elapsed(), Duration::ZERO);
        sender.send_replace(Claim::NONE);
        leadership.lost().await;
        assert_eq!(before.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sole_process_never_loses_its_claim() {
        let leadership = Leadership::sole();
        leadership.gained().await;
        assert!(tokio::time::timeout(Duration::from_hours(1), leadership.lost()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_whose_candidate_died_still_ends_in_time() {
        let (sender, leadership) = claims(Claim::until(Instant::now() + Duration::from_secs(2)));
        drop(sender);
        let before = Instant::now();
        leadership.lost().await;
        assert_eq!(before.elapsed().as_secs(), 2);
    }
}
