//! Decides about each request, and writes down all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use keyslot_api::v1alpha1::User;
use keyslot_planner::observed::RedisNode;
use tokio::sync::{Notify, watch};

use super::never::{forbidden_death, forbidden_request};
use super::{Fault, Lane, Plan, Point, Proof, Record};

/// How long nothing is seen of a kind.
const HELD_FOR: Duration = Duration::from_secs(3);

/// What the operator keeps copies of.
const COLLECTIONS: &[&str] =
    &["redisclusters", "pods", "configmaps", "secrets", "statefulsets", "services", "poddisruptionbudgets"];

/// What is so, whatever the operator believes.
pub struct Truth {
    /// The pods and the addresses that they have now, whether somebody answers there or not.
    pub pods: Box<dyn Fn() -> BTreeMap<String, IpAddr> + Send + Sync>,
    /// The lists of users that the resource has had since all of it was in force.
    pub users: Box<dyn Fn() -> Vec<Vec<User>> + Send + Sync>,
}

/// The faults of one run: at most one.
pub struct Faults {
    plan: Option<Plan>,
    seed: u64,
    truth: Truth,
    /// Version of everything at the start of the run.
    start: String,
    crash: Notify,
    held: watch::Sender<&'static [&'static str]>,
    under_way: AtomicUsize,
    state: Mutex<State>,
}

struct State {
    counts: BTreeMap<(Lane, String), usize>,
    record: Record,
    fired: bool,
    /// The server has carried out the request that met the fault.
    carried_out: bool,
    /// Events that were held back: without any, a fault that holds them back has not happened.
    held_back: usize,
    /// Old lists that were shown: without any, no start was stale.
    old_lists: usize,
    /// Lists are old ones.
    stale: bool,
    /// Who answered at an address the last time that somebody did.
    nodes: BTreeMap<IpAddr, RedisNode>,
    /// When the last request came, or when it all began.
    last: Instant,
    /// The longest time between two requests.
    silence: Duration,
    /// Passwords that were put into Secrets.
    passwords: BTreeSet<String>,
}

/// What is to be done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send it after this delay.
    Send(Duration),
    /// This happens to it.
    Fault(Fault),
}

impl Faults {
    /// Writes down only.
    pub fn none(seed: u64, truth: Truth) -> Self {
        Self::new(None, seed, String::new(), truth)
    }

    /// With this plan. `start` is the version of everything at the start of the run.
    pub fn new(plan: Option<Plan>, seed: u64, start: String, truth: Truth) -> Self {
        let state = State {
            counts: BTreeMap::new(),
            record: Record::default(),
            fired: false,
            carried_out: false,
            held_back: 0,
            old_lists: 0,
            stale: false,
            nodes: BTreeMap::new(),
            last: Instant::now(),
            silence: Duration::ZERO,
            passwords: BTreeSet::new(),
        };
        let held = watch::Sender::new([].as_slice());
        let under_way = AtomicUsize::new(0);
        Self { plan, seed, truth, start, crash: Notify::new(), held, under_way, state: Mutex::new(state) }
    }

    /// Whether the planned fault has happened.
    pub fn proof(&self) -> Proof {
        let state = self.lock();
        let Some(plan) = self.plan.as_ref().filter(|_| state.fired) else { return Proof::NotMet };
        let has_happened = match plan.fault {
            Fault::CrashBefore | Fault::Conflict | Fault::ServerError | Fault::TooMany | Fault::Timeout => {
                true
            }
            Fault::CrashAfter | Fault::AnswerLost => state.carried_out,
            Fault::StaleStart => state.carried_out && state.old_lists > 0,
            Fault::HoldPods | Fault::HoldSets | Fault::HoldFiles | Fault::HoldClusters => state.held_back > 0,
        };
        if has_happened { Proof::Happened } else { Proof::WithoutEffect }
    }

    /// The server has carried out the request that met the fault.
    pub(super) fn was_carried_out(&self) {
        self.lock().carried_out = true;
    }

    /// These passwords are in Secrets: nobody may tell them.
    pub fn know(&self, passwords: BTreeSet<String>) {
        self.lock().passwords.extend(passwords);
    }

    /// Ends when the operator is to die.
    pub async fn crashed(&self) {
        self.crash.notified().await;
    }

    /// What was requested so far.
    pub fn record(&self) -> Record {
        self.lock().record.clone()
    }

    /// The longest time without a request so far.
    pub fn silence(&self) -> Duration {
        let state = self.lock();
        state.silence.max(state.last.elapsed())
    }

    /// Requests that change something and have no answer yet.
    pub fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

    /// Something is hidden from the operator: what it does when it sees it is still to come.
    pub fn is_hiding(&self) -> bool {
        !self.held.borrow().is_empty()
    }

    /// A request is under way as long as this lives.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(self))
    }

    /// A request that changes something is about to be sent.
    pub(super) fn judge(&self, lane: Lane, class: String) -> Verdict {
        let mut state = self.lock();
        let count = state.counts.entry((lane, class.clone())).or_default();
        *count += 1;
        let point = Point { lane, class, number: *count };
        let planned = self.plan.as_ref().filter(|plan| plan.at == point && !state.fired);
        let verdict =
            planned.map_or_else(|| Verdict::Send(point.delay(self.seed)), |plan| Verdict::Fault(plan.fault));
        state.fired |= planned.is_some();
        state.silence = state.silence.max(state.last.elapsed());
        state.last = Instant::now();
        state.record.requests.push(point);
        verdict
    }

    /// The operator dies. Whoever calls this never goes on.
    pub(super) async fn die(&self) -> ! {
        self.crash.notify_one();
        std::future::pending::<()>().await;
        unreachable!("nothing ends this wait")
    }

    /// From now on nothing is seen of these collections, for a while.
    pub(super) fn hold(self: &Arc<Self>, collections: &'static [&'static str]) {
        self.held.send_replace(collections);
        let faults = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(HELD_FOR).await;
            faults.lock().stale = false;
            faults.held.send_replace(&[]);
        });
    }

    /// Ends when something of this collection, an event or else a sign of life, may be seen.
    pub(super) async fn shown(&self, collection: &str, is_event: bool) {
        let mut held = self.held.subscribe();
        if is_event && held.borrow().contains(&collection) {
            self.lock().held_back += 1;
        }
        // The sender is ours.
        let _ = held.wait_for(|held| !held.contains(&collection)).await;
    }

    /// The next life sees for a while how everything was at the start.
    pub(super) fn make_stale(self: &Arc<Self>) {
        self.lock().stale = true;
        self.hold(COLLECTIONS);
    }

    /// The version in which this collection is to be shown, if it is not the present one.
    pub(super) fn old_version(&self, collection: &str) -> Option<&str> {
        let old = self.lock().stale && COLLECTIONS.contains(&collection) && !self.start.is_empty();
        old.then_some(self.start.as_str())
    }

    /// The API server has given a list as it was at the start.
    pub(super) fn showed_old_list(&self) {
        self.lock().old_lists += 1;
    }

    /// The API server has carried it out.
    pub(super) fn done(&self, class: &str) {
        self.lock().record.carried_out(class);
    }

    /// The addresses of all pods.
    pub(super) fn addresses(&self) -> BTreeSet<IpAddr> {
        (self.truth.pods)().into_values().collect()
    }

    /// The lists of users that the resource has had since all of it was in force.
    pub(super) fn users(&self) -> Vec<Vec<User>> {
        (self.truth.users)()
    }

    /// A node has answered at an address.
    pub(super) fn remember(&self, ip: IpAddr, node: RedisNode) {
        self.lock().nodes.insert(ip, node);
    }

    /// Who has answered last at an address.
    pub(super) fn last_at(&self, ip: IpAddr) -> Option<RedisNode> {
        self.lock().nodes.get(&ip).cloned()
    }

    /// Looks into what is sent to the API server: passwords belong into Secrets, nothing that keeps data is deleted, and
    /// no pod is taken away by a smaller StatefulSet.
    pub(super) fn check(&self, class: &str, body: &str) {
        let pods = (self.truth.pods)();
        let mut state = self.lock();
        let why = forbidden_request(class, body, pods.len() as u64, &mut state.passwords);
        if let Some(why) = why.or_else(|| forbidden_death(class, &pods, &state.nodes)) {
            state.record.forbidden.push(format!("{class}: {why}"));
        }
    }

    /// Something was about to be said that must never be said.
    pub(super) fn forbid(&self, words: String) {
        self.lock().record.forbidden.push(words);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request without an answer so far.
pub(super) struct UnderWay(Arc<Faults>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fault_meets_exactly_the_planned_request_once() {
        let class = "patch statefulsets/demo".to_owned();
        let at = Point { lane: Lane::Topology, class: class.clone(), number: 2 };
        let plan = Plan { flow: "f".to_owned(), at, fault: Fault::Conflict, seed: 1 };
        let truth = Truth { pods: Box::new(BTreeMap::new), users: Box::new(Vec::new) };
        let faults = Faults::new(Some(plan), 1, String::new(), truth);
        assert_eq!(faults.proof(), Proof::NotMet);
        let is_fault = |lane| matches!(faults.judge(lane, class.clone()), Verdict::Fault(Fault::Conflict));
        assert!(!is_fault(Lane::Topology));
        assert!(!is_fault(Lane::Settings), "the other loop counts for itself");
        assert!(is_fault(Lane::Topology));
        assert_eq!(faults.proof(), Proof::Happened);
        assert!(!is_fault(Lane::Topology));
        assert_eq!(faults.record().requests.len(), 4);
    }
}
