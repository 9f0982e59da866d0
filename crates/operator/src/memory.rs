//! What the operator remembers of each cluster between passes. Nothing here is needed for safety: all of it is lost
//! with the process and found again by looking.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use keyslot_api::v1alpha1::{RedisCluster, RedisClusterStatus};
use keyslot_planner::Plan;
use keyslot_planner::ids::PodName;
use keyslot_planner::observed::{Member, Observed};
use keyslot_planner::plan::Outcome;
use keyslot_planner::settings::SettingsReport;
use kube::ResourceExt;
use kube::core::ObjectMeta;
use tokio::time::Instant;

use crate::cluster::ClusterRef;
use crate::reconcile::locked_out::Refusals;
use crate::reconcile::system_secret::newest;

/// How long the status that was written last counts as the present one, whatever the watch shows: it may be older.
const WATCH_LAG: Duration = Duration::from_secs(5);

/// All clusters of a scope.
#[derive(Default)]
pub struct Memory(Mutex<HashMap<ClusterRef, Arc<ClusterMemory>>>);

/// One cluster. Both loops write into it; each its own part.
pub struct ClusterMemory {
    uid: Option<String>,
    facts: Mutex<Facts>,
    /// What was reported last. Held while a report is written: one writer at a time.
    pub reported: tokio::sync::Mutex<Reported>,
}

/// What the loops found last.
#[derive(Clone, Default)]
pub struct Facts {
    /// The topology loop's last pass.
    pub topology: Option<Arc<TopologyPass>>,
    /// The settings loop's last pass.
    pub settings: Option<Arc<SettingsReport>>,
    /// Objects with names that we need and that somebody else made, as `Kind/name`.
    pub foreign: BTreeSet<String>,
    /// The newest version of Secret `<name>-system` that this process has read or written itself.
    pub system_secret: Option<Arc<Secret>>,
    /// Nodes that refuse the operator.
    pub refusals: Refusals,
    /// The generation of the resource that was the newest when the API server was asked last.
    pub confirmed: Option<i64>,
    /// The version of each referenced Secret that was the newest when a pass of this generation asked for it.
    pub newest_secrets: BTreeMap<String, (String, Option<i64>)>,
}

/// A pass of the topology loop.
pub struct TopologyPass {
    /// What was seen.
    pub observed: Observed,
    /// What was decided.
    pub plan: Plan,
    /// How it went.
    pub outcome: Outcome,
    /// Since when every pass has had the same to say.
    pub since: Instant,
}

impl TopologyPass {
    /// Since when passes have said what this plan says.
    pub fn since(before: Option<&Self>, plan: &Plan) -> Instant {
        let same = |pass: &&Self| pass.plan.step == plan.step && pass.plan.message == plan.message;
        before.filter(same).map_or_else(Instant::now, |pass| pass.since)
    }
}

/// What was reported last.
#[derive(Default)]
pub struct Reported {
    status: Option<(RedisClusterStatus, Instant)>,
    undecodable: Option<i64>,
}

impl Memory {
    /// What is remembered of this very resource; of an earlier one of the same name nothing is.
    pub fn of(&self, metadata: &ObjectMeta) -> Arc<ClusterMemory> {
        let mut clusters = self.lock();
        let known = clusters.get(&ClusterRef::of(metadata)).filter(|memory| memory.uid == metadata.uid);
        if let Some(memory) = known {
            return Arc::clone(memory);
        }
        let memory = Arc::new(ClusterMemory {
            uid: metadata.uid.clone(),
            facts: Mutex::default(),
            reported: tokio::sync::Mutex::default(),
        });
        clusters.insert(ClusterRef::of(metadata), Arc::clone(&memory));
        memory
    }

    /// The cluster is gone.
    pub fn forget(&self, cluster: &ClusterRef) {
        self.lock().remove(cluster);
    }

    /// Another process looks after the clusters now; what is remembered here grows old.
    pub fn forget_all(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ClusterRef, Arc<ClusterMemory>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClusterMemory {
    /// Whether the API server knew nothing newer than this generation when it was asked last.
    pub fn is_confirmed(&self, generation: Option<i64>) -> bool {
        generation.is_some() && generation == self.lock().confirmed
    }

    /// The API server knows nothing newer than this generation.
    pub fn confirm(&self, generation: Option<i64>) {
        self.lock().confirmed = generation;
    }

    /// Whether the API server had nothing newer than this Secret when it was asked last, for this generation of the
    /// resource: who changes a Secret and then the resource must not see them taken in reverse.
    pub fn is_confirmed_secret(&self, secret: &Secret, generation: Option<i64>) -> bool {
        let known = self.lock().newest_secrets.get(&secret.name_any()).cloned();
        known.is_some_and(|(version, of)| {
            secret.metadata.resource_version == Some(version) && of >= generation
        })
    }

    /// The API server has nothing newer than this Secret, asked by a pass for this generation.
    pub fn confirm_secret(&self, secret: &Secret, generation: Option<i64>) {
        let Some(version) = secret.metadata.resource_version.clone() else { return };
        let order = |(version, of): &(String, Option<i64>)| (version.parse::<u64>().ok(), *of);
        let (newest_secrets, found) = (&mut self.lock().newest_secrets, (version, generation));
        // The other loop may have asked later and been answered sooner.
        let is_older =
            newest_secrets.get(&secret.name_any()).is_some_and(|known| order(known) > order(&found));
        if !is_older {
            newest_secrets.insert(secret.name_any(), found);
        }
    }

    /// A copy of what the loops found last.
    pub fn facts(&self) -> Facts {
        self.lock().clone()
    }

    /// The topology loop has passed.
    pub fn topology(&self, pass: TopologyPass) {
        self.lock().topology = Some(Arc::new(pass));
    }

    /// The settings loop has passed.
    pub fn settings(&self, report: SettingsReport) {
        self.lock().settings = Some(Arc::new(report));
    }

    /// Secret `<name>-system` was read or written.
    pub fn saw_system_secret(&self, secret: Option<Arc<Secret>>) {
        if let Some(secret) = secret {
            let known = &mut self.lock().system_secret;
            *known = Some(newest(secret, known.take()));
        }
    }

    /// Which pods have refused the settings loop for a while.
    pub fn locked_out(&self, pods: &BTreeMap<PodName, Member>) -> BTreeSet<PodName> {
        let mut facts = self.lock();
        let settings = facts.settings.clone();
        facts.refusals.note(pods, settings.as_deref())
    }

    /// Somebody else has an object of that key. Tells whether that is news.
    pub fn found_foreign(&self, key: String) -> bool {
        self.lock().foreign.insert(key)
    }

    /// Nobody else has it any more.
    pub fn not_foreign(&self, key: &str) {
        self.lock().foreign.remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reported {
    /// Nothing is known of the resource's status but what the watch shows.
    pub const fn is_unknown(&self) -> bool {
        self.status.is_none()
    }

    /// The API server has this status.
    pub fn found(&mut self, status: RedisClusterStatus) {
        self.status = Some((status, Instant::now()));
    }

    /// The resource's present status: the one in the watch's copy, unless we saw or wrote a newer one just now.
    pub fn present(&self, cluster: &RedisCluster) -> Option<RedisClusterStatus> {
        match &self.status {
            Some((written, at)) if at.elapsed() < WATCH_LAG => Some(written.clone()),
            _ => cluster.status.clone(),
        }
    }

    /// Time since the last write by this process; without any, long ago.
    pub fn since_write(&self) -> Duration {
        self.status.as_ref().map_or(Duration::MAX, |(_, at)| at.elapsed())
    }

    /// Whether people were told that this generation can't be read.
    pub fn has_told_undecodable(&self, generation: Option<i64>) -> bool {
        self.undecodable.is_some() && self.undecodable == generation
    }

    /// People were told that this generation can't be read.
    pub fn told_undecodable(&mut self, generation: Option<i64>) {
        self.undecodable = generation;
    }

    /// A status was written.
    pub fn wrote(&mut self, status: RedisClusterStatus) {
        self.status = Some((status, Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyslot_api::v1alpha1::RedisClusterSpec;

    fn metadata(uid: &str) -> ObjectMeta {
        ObjectMeta {
            namespace: Some("shop".to_owned()),
            name: Some("demo".to_owned()),
            uid: Some(uid.to_owned()),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn a_recreated_resource_starts_with_an_empty_memory() {
        let memory = Memory::default();
        memory.of(&metadata("u-1")).found_foreign("Service/demo".to_owned());
        assert_eq!(memory.of(&metadata("u-1")).facts().foreign.len(), 1);
        assert!(memory.of(&metadata("u-2")).facts().foreign.is_empty());
    }

    #[test]
    fn a_copy_of_a_secret_counts_only_in_the_version_that_the_api_server_gave() {
        let secret = |version: &str| {
            let version = Some(version.to_owned());
            let metadata =
                ObjectMeta { name: Some("p".into()), resource_version: version, ..Default::default() };
            Secret { metadata, ..Secret::default() }
        };
        let memory = Memory::default().of(&metadata("u-1"));
        let (old, new) = (Some(1), Some(2));
        assert!(!memory.is_confirmed_secret(&secret("7"), old), "a process that has just started");
        memory.confirm_secret(&secret("8"), old);
        assert!(memory.is_confirmed_secret(&secret("8"), old));
        assert!(!memory.is_confirmed_secret(&secret("7"), old), "the list that its watch began with was old");
        assert!(!memory.is_confirmed_secret(&secret("9"), old), "it was changed");
        assert!(
            !memory.is_confirmed_secret(&secret("8"), new),
            "it may have been changed before the resource"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_live_status_counts_more_than_the_copy_that_a_new_process_begins_with() {
        let mut cluster = RedisCluster::new("demo", RedisClusterSpec::with_image("redis:8.0"));
        cluster.status = Some(RedisClusterStatus { step: Some("old".to_owned()), ..Default::default() });
        let mut reported = Reported::default();
        assert!(reported.is_unknown());
        reported.found(RedisClusterStatus { step: Some("live".to_owned()), ..Default::default() });
        assert_eq!(reported.present(&cluster).unwrap().step.as_deref(), Some("live"));
        assert!(!reported.is_unknown(), "it is asked for once");
    }

    #[tokio::test(start_paused = true)]
    async fn an_own_status_counts_until_the_watch_must_have_shown_it() {
        let mut cluster = RedisCluster::new("demo", RedisClusterSpec::with_image("redis:8.0"));
        cluster.status = Some(RedisClusterStatus { step: Some("old".to_owned()), ..Default::default() });
        let mut reported = Reported::default();
        reported.wrote(RedisClusterStatus { step: Some("new".to_owned()), ..Default::default() });
        assert_eq!(reported.present(&cluster).unwrap().step.as_deref(), Some("new"));
        tokio::time::advance(WATCH_LAG).await;
        assert_eq!(reported.present(&cluster).unwrap().step.as_deref(), Some("old"));
    }
}
