//! The layer between the operator and Redis nodes. It looks at all of them before it lets a command pass.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use keyslot_operator::nodes::Nodes;
use keyslot_planner::acl::Password;
use keyslot_planner::command::{REDIS_PORT, RedisCommand, Target};
use keyslot_planner::observed::{NodeSettings, RedisNode, Unreachable};
use keyslot_planner::system_users::REPLICATION;
use keyslot_redis_admin::{
    CommandError, Credentials, NodeClient, NodeConnections, Refusal, SettingsLook, Watch,
};
use keyslot_testkit::redis_server::RawConnection;
use secrecy::ExposeSecret;

use super::never::forbidden;
use super::rights::ungiven;
use super::{Fault, Faults, Lane, Verdict};

/// How long an answer is waited for that does not come.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a node may take that is looked at before a command.
const LOOK: Duration = Duration::from_millis(500);

/// The real nodes, with the faults of a run.
pub struct FaultyNodes {
    real: NodeConnections,
    faults: Arc<Faults>,
}

impl FaultyNodes {
    /// For one life of the operator.
    pub fn new(faults: Arc<Faults>) -> Self {
        Self { real: NodeConnections::new(), faults }
    }

    /// Looks at all nodes itself, at the moment before a command: what the operator believes may be old.
    /// For one that is silent stands who was there last: silence is no death.
    async fn look(&self, credentials: &Credentials) -> Vec<(IpAddr, Option<RedisNode>)> {
        let looks = self
            .faults
            .addresses()
            .into_iter()
            .map(async |ip| (ip, self.real.observe(ip, credentials, LOOK).await.ok()));
        let mut all = join_all(looks).await;
        for (ip, node) in &mut all {
            match node {
                Some(node) => self.faults.remember(*ip, node.clone()),
                None => *node = self.faults.last_at(*ip),
            }
        }
        all
    }

    async fn check(&self, on: &Target, credentials: &Credentials, command: &RedisCommand) {
        let why = match command {
            RedisCommand::SetReplicationPassword(password) => self.refused_somewhere(password).await,
            _ => forbidden(on, command, &self.look(credentials).await),
        };
        if let Some(why) = why.or_else(|| ungiven(command, &self.faults.users())) {
            self.faults.forbid(format!("{} to {}: {why}", command.kind(), on.pod));
        }
    }

    /// Waits until a node has carried out what was said to it, or has refused.
    async fn carried_out(&self, said: impl Future<Output = Result<(), CommandError>>) {
        if said.await.is_ok() {
            self.faults.was_carried_out();
        }
    }

    /// A replica must not log in with a password that some node does not know. Nobody can ask a silent one.
    async fn refused_somewhere(&self, password: &Password) -> Option<String> {
        let refusals = self.faults.addresses().into_iter().map(async |ip| {
            let password = password.0.expose_secret().to_owned();
            let login = move || {
                let mut node = RawConnection::open((ip, REDIS_PORT).into(), LOOK)?;
                node.ask(&["AUTH", REPLICATION, &password])
            };
            let answer = tokio::task::spawn_blocking(login).await.ok()?;
            let refused = answer.err().filter(|error| error.to_string().contains("WRONGPASS"));
            refused.map(|_| format!("{ip} does not know it"))
        });
        join_all(refusals).await.into_iter().flatten().next()
    }
}

/// What a command is about. Which node is met by which, and in which order, is different in each run.
fn class(on: &Target, command: &RedisCommand) -> String {
    let kind = command.kind();
    match command {
        RedisCommand::SetUser { name, .. } | RedisCommand::DeleteUser(name) => {
            format!("redis {kind} {name} {}", on.pod)
        }
        RedisCommand::SetReplicationPassword(_) => format!("redis {kind} {}", on.pod),
        RedisCommand::SetConfigEpoch(_)
        | RedisCommand::AddSlots(_)
        | RedisCommand::Meet { .. }
        | RedisCommand::Replicate(_)
        | RedisCommand::Forget(_)
        | RedisCommand::TakeOver
        | RedisCommand::SetConfig(_) => format!("redis {kind}"),
    }
}

impl NodeClient for FaultyNodes {
    async fn observe(
        &self,
        ip: IpAddr,
        credentials: &Credentials,
        limit: Duration,
    ) -> Result<RedisNode, Unreachable> {
        let seen = self.real.observe(ip, credentials, limit).await;
        if let Ok(node) = &seen {
            self.faults.remember(ip, node.clone());
        }
        seen
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
        let _under_way = self.faults.begin();
        self.check(on, credentials, command).await;
        let verdict = self.faults.judge(Lane::current(), class(on, command));
        let said = self.real.execute(on, credentials, command);
        let refused = |words: &str| CommandError::Refused { kind: Refusal::Other, words: words.to_owned() };
        match verdict {
            Verdict::Send(delay) => {
                tokio::time::sleep(delay).await;
                said.await
            }
            Verdict::Fault(Fault::CrashBefore) => self.faults.die().await,
            Verdict::Fault(Fault::CrashAfter) => {
                self.carried_out(said).await;
                self.faults.die().await
            }
            Verdict::Fault(Fault::Conflict) => Err(refused("ERR made up by a test")),
            Verdict::Fault(Fault::ServerError) => Err(CommandError::Unreachable(Unreachable::Loading)),
            Verdict::Fault(Fault::TooMany) => Err(CommandError::NotYet("made up by a test".to_owned())),
            Verdict::Fault(Fault::Timeout) => {
                tokio::time::sleep(PATIENCE).await;
                Err(CommandError::OutcomeUnknown)
            }
            Verdict::Fault(Fault::AnswerLost) => {
                self.carried_out(said).await;
                Err(CommandError::OutcomeUnknown)
            }
            Verdict::Fault(Fault::StaleStart) => {
                self.carried_out(said).await;
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
        self.real.keep_only(addresses);
    }
}
