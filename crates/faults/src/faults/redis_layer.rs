//! The layer between the operator and Redis nodes. It looks at all of them before it lets a command pass.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use keyslot_operator::nodes::Nodes;
use keyslot_planner::command::{RedisCommand, Target};
use keyslot_planner::observed::{NodeSettings, RedisNode, Unreachable};
use keyslot_redis_admin::{
    CommandError, Credentials, NodeClient, NodeConnections, Refusal, SettingsLook, Watch,
};

use super::never::forbidden;
use super::{Fault, Faults, Lane, Verdict};

/// How long an answer is waited for that does not come.
const PATIENCE: Duration = Duration::from_secs(2);

/// The real nodes, with the faults of a run.
pub struct FaultyNodes {
    real: NodeConnections,
    faults: Arc<Faults>,
    /// Where nodes were seen, for a look of our own.
    seen: Mutex<BTreeMap<IpAddr, Credentials>>,
}

impl FaultyNodes {
    /// For one life of the operator.
    pub fn new(faults: Arc<Faults>) -> Self {
        Self { real: NodeConnections::new(), faults, seen: Mutex::default() }
    }

    /// Looks at all nodes itself, at the moment before a command: what the operator believes may be old.
    async fn look(&self) -> Vec<RedisNode> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let looks = seen.iter().map(|(ip, credentials)| self.real.observe(*ip, credentials, PATIENCE));
        join_all(looks).await.into_iter().flatten().collect()
    }

    async fn check(&self, on: &Target, command: &RedisCommand) {
        if let Some(why) = forbidden(on, command, &self.look().await) {
            self.faults.forbid(format!("{} to {}: {why}", command.kind(), on.pod));
        }
    }
}

impl NodeClient for FaultyNodes {
    async fn observe(
        &self,
        ip: IpAddr,
        credentials: &Credentials,
        limit: Duration,
    ) -> Result<RedisNode, Unreachable> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(ip, credentials.clone());
        self.real.observe(ip, credentials, limit).await
    }

    async fn observe_settings(
        &self,
        ip: IpAddr,
        credentials: &Credentials,
        look: &SettingsLook,
        limit: Duration,
    ) -> Result<NodeSettings, Unreachable> {
        self.real.observe_settings(ip, credentials, look, limit).await
    }

    async fn execute(
        &self,
        on: &Target,
        credentials: &Credentials,
        command: &RedisCommand,
    ) -> Result<(), CommandError> {
        self.check(on, command).await;
        let verdict = self.faults.judge(Lane::current(), format!("redis {}", command.kind()));
        let _under_way = self.faults.begin();
        let said = self.real.execute(on, credentials, command);
        let refused = |words: &str| CommandError::Refused { kind: Refusal::Other, words: words.to_owned() };
        match verdict {
            Verdict::Send(delay) => {
                tokio::time::sleep(delay).await;
                said.await
            }
            Verdict::Fault(Fault::CrashBefore) => self.faults.die().await,
            Verdict::Fault(Fault::CrashAfter) => {
                let _ = said.await;
                self.faults.die().await
            }
            Verdict::Fault(Fault::Conflict | Fault::ServerError) => Err(refused("ERR made up by a test")),
            Verdict::Fault(Fault::TooMany) => Err(CommandError::NotYet("made up by a test".to_owned())),
            Verdict::Fault(Fault::Timeout) => {
                tokio::time::sleep(PATIENCE).await;
                Err(CommandError::OutcomeUnknown)
            }
            Verdict::Fault(Fault::AnswerLost) => {
                let _ = said.await;
                Err(CommandError::OutcomeUnknown)
            }
            Verdict::Fault(Fault::StaleStart) => {
                let _ = said.await;
                self.faults.make_stale();
                self.faults.die().await
            }
            Verdict::Fault(
                fault @ (Fault::HoldPods | Fault::HoldSets | Fault::HoldFiles | Fault::HoldClusters),
            ) => {
                self.faults.hold(fault.held());
                said.await
            }
        }
    }

    fn watch(&self, ip: IpAddr, credentials: &Credentials) -> Watch {
        self.real.watch(ip, credentials)
    }
}

impl Nodes for FaultyNodes {
    fn keep_only(&self, addresses: &BTreeSet<IpAddr>) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).retain(|ip, _| addresses.contains(ip));
        self.real.keep_only(addresses);
    }
}
