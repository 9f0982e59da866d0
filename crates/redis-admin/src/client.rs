//! The real nodes.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use keyslot_planner::command::{RedisCommand, Target};
use keyslot_planner::observed::{NodeSettings, RedisNode, Unreachable};
use tokio::time::timeout;

use crate::connect::{Credentials, Link, LinkLost, Links};
use crate::reply::{Arguments, Reply};
use crate::{CommandError, NodeClient, SettingsLook, Watch, command, execute, observe};

/// The real nodes. One connection per node is kept across passes; watches have their own. Held by the leader only.
#[derive(Default)]
pub struct NodeConnections {
    links: Links,
}

impl NodeConnections {
    /// No connection yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Closes all connections but those to `addresses`: pods are gone. Watches are closed by dropping them.
    pub fn keep_only(&self, addresses: &BTreeSet<IpAddr>) {
        self.links.keep_only(addresses);
    }

    /// Asks questions that may be asked twice. The process behind a kept connection may have ended a moment ago: then
    /// they are asked again, of the process that is there now.
    async fn ask(
        &self,
        ip: IpAddr,
        credentials: &Credentials,
        questions: &[Arguments],
    ) -> Result<(Arc<Link>, Vec<Reply>), Unreachable> {
        let (link, is_new) = self.links.link(ip, credentials).await?;
        match link.ask(questions).await {
            Ok(replies) => return Ok((link, replies)),
            Err(lost) if is_new => return Err(lost.into()),
            Err(lost @ LinkLost::TooLong) => return Err(lost.into()),
            Err(LinkLost::Ended) => {}
        }
        let (link, _) = self.links.link(ip, credentials).await?;
        let replies = link.ask(questions).await?;
        Ok((link, replies))
    }

    /// A connection on which `on.node` answers.
    async fn connect_to(&self, on: &Target, credentials: &Credentials) -> Result<Arc<Link>, CommandError> {
        let (link, _) = self.links.link(on.ip, credentials).await.map_err(CommandError::Unreachable)?;
        let (link, found) = match link.identity() {
            Some(found) => (link, found),
            None => self.identify(on.ip, credentials).await.map_err(CommandError::Unreachable)?,
        };
        if found == on.node {
            return Ok(link);
        }
        link.give_up();
        Err(CommandError::WrongNode { expected: on.node.clone(), found })
    }

    async fn identify(
        &self,
        ip: IpAddr,
        credentials: &Credentials,
    ) -> Result<(Arc<Link>, keyslot_planner::ids::NodeId), Unreachable> {
        let (link, mut replies) = self.ask(ip, credentials, &[observe::my_id()]).await?;
        let found = observe::read_my_id(replies.swap_remove(0))?;
        link.identified(found.clone());
        Ok((link, found))
    }
}

impl NodeClient for NodeConnections {
    async fn observe(
        &self,
        ip: IpAddr,
        credentials: &Credentials,
        limit: Duration,
    ) -> Result<RedisNode, Unreachable> {
        let look = async {
            let (link, replies) = self.ask(ip, credentials, &observe::topology_questions()).await?;
            let node = observe::read_topology(replies)?;
            link.identified(node.id.clone());
            Ok(node)
        };
        timeout(limit, look).await.unwrap_or(Err(Unreachable::TimedOut))
    }

    async fn observe_settings(
        &self,
        ip: IpAddr,
        credentials: &Credentials,
        look: &SettingsLook,
        limit: Duration,
    ) -> Result<NodeSettings, Unreachable> {
        let look = async {
            let questions = observe::settings_questions(&look.trials, &look.config);
            let (link, replies) = self.ask(ip, credentials, &questions).await?;
            let half = observe::read_settings(replies, &look.trials)?;
            let replies = link.ask(&half.questions()).await?;
            let settings = half.read(replies)?;
            link.identified(settings.id.clone());
            Ok(settings)
        };
        timeout(limit, look).await.unwrap_or(Err(Unreachable::TimedOut))
    }

    async fn execute(
        &self,
        on: &Target,
        credentials: &Credentials,
        command: &RedisCommand,
    ) -> Result<(), CommandError> {
        let limit = command::time_limit(command);
        let connected = timeout(limit, self.connect_to(on, credentials)).await;
        let link = connected.unwrap_or(Err(CommandError::Unreachable(Unreachable::TimedOut)))?;
        match timeout(limit, link.ask(&command::commands(command))).await {
            Ok(Ok(replies)) => execute::judge(command, &replies),
            Ok(Err(_)) | Err(_) => Err(CommandError::OutcomeUnknown),
        }
    }

    fn watch(&self, ip: IpAddr, credentials: &Credentials) -> Watch {
        Watch::begin(ip, credentials.clone())
    }
}
