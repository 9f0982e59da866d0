//! Brings users and live settings in force, node by node and all at once: what is wanted reaches a node as soon as that
//! node has answered, and a failure or a hang touches that node only.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use futures::future::join_all;
use keyslot_planner::Desired;
use keyslot_planner::command::Target;
use keyslot_planner::ids::PodName;
use keyslot_planner::observed::{Member, NodeSettings, Unreachable};
use keyslot_planner::settings::{LIVE_CONFIG, SettingsReport, changed_by_hand, settings_for, trials};
use keyslot_redis_admin::{Credentials, SettingsLook};

use super::execute::{Executed, say};
use super::observe::NODE_LIMIT;
use crate::context::{Context, credentials};
use crate::memory::Facts;
use crate::nodes::Nodes;

/// How long a node may take that gave neither loop an answer in time when it was looked at last: what reaches the others
/// next has to wait for the end of the pass.
const SILENT_LIMIT: Duration = Duration::from_millis(250);

/// What every node has now, and the worst answer to what was said to them.
pub struct Settled {
    /// Each pod's last look.
    pub nodes: BTreeMap<PodName, Result<NodeSettings, Unreachable>>,
    /// The worst of all answers.
    pub executed: Executed,
    /// Something was said to a node.
    pub changed: bool,
    /// Users that somebody changed on a node since the last look.
    pub by_hand: BTreeMap<PodName, Vec<String>>,
}

struct SettledNode {
    settings: Result<NodeSettings, Unreachable>,
    executed: Executed,
    changed: bool,
    by_hand: Vec<String>,
}

impl SettledNode {
    /// Of a node to which nothing was said.
    const fn unread(settings: Result<NodeSettings, Unreachable>, executed: Executed) -> Self {
        Self { settings, executed, changed: false, by_hand: Vec::new() }
    }
}

/// Whether nodes are to be settled although nothing has changed, after the topology loop has asked them all.
pub fn is_due(pods: &BTreeMap<PodName, Member>, last: Option<&SettingsReport>) -> bool {
    pods.iter().any(|(pod, member)| {
        let was_read = last.and_then(|last| last.nodes.get(pod)).map(Result::is_ok);
        has_missed(member.redis.as_ref().map(|_| ()), was_read)
    })
}

/// Who answers and was not read when its users were looked at last has missed what came since; who refuses the operator
/// may be put right by such a look.
fn has_missed(now: Result<(), &Unreachable>, was_read: Option<bool>) -> bool {
    match now {
        Ok(()) => was_read == Some(false),
        Err(why) => *why == Unreachable::AuthenticationFailed,
    }
}

/// Settles all nodes, knowing what was found last time.
pub async fn settle_nodes<N: Nodes>(
    desired: &Desired,
    members: &BTreeMap<PodName, Member>,
    facts: &Facts,
    ctx: &Context<N>,
) -> Settled {
    let look = SettingsLook { trials: trials(desired), config: LIVE_CONFIG.to_vec() };
    let (look, credentials) = (&look, &credentials(desired));
    let nodes = members.iter().map(|(pod, member)| async move {
        let (Some(ip), Some(credentials)) = (member.ip, credentials) else {
            return (pod.clone(), SettledNode::unread(Err(Unreachable::NoAddress), Executed::Done));
        };
        (pod.clone(), settle(desired, (pod, ip), (credentials, look, facts), ctx).await)
    });
    let mut settled = Settled {
        nodes: BTreeMap::new(),
        executed: Executed::Done,
        changed: false,
        by_hand: BTreeMap::new(),
    };
    for (pod, node) in join_all(nodes).await {
        settled.executed = settled.executed.worse(node.executed);
        settled.changed |= node.changed;
        if !node.by_hand.is_empty() {
            settled.by_hand.insert(pod.clone(), node.by_hand);
        }
        settled.nodes.insert(pod, node.settings);
    }
    settled
}

async fn settle<N: Nodes>(
    desired: &Desired,
    (pod, ip): (&PodName, IpAddr),
    (credentials, look, facts): (&Credentials, &SettingsLook, &Facts),
    ctx: &Context<N>,
) -> SettledNode {
    if !ctx.leadership.is_held() {
        // A look tries rules on the node, which is an act.
        let unread = Err(Unreachable::Other("this process does not lead any more".to_owned()));
        return SettledNode::unread(unread, Executed::NotLeader);
    }
    let settings = ctx.nodes.observe_settings(ip, credentials, look, limit(facts, pod)).await;
    let mut node = SettledNode::unread(settings, Executed::Done);
    let Ok(seen) = &node.settings else { return node };
    let commands = settings_for(desired, seen, desired.system.formed);
    if commands.is_empty() {
        return node;
    }
    node.changed = true;
    let before = facts.settings.as_deref();
    node.by_hand = before.map_or_else(Vec::new, |before| changed_by_hand(before, desired, pod, seen));
    let on = Target { pod: pod.clone(), ip, node: seen.id.clone() };
    // All at once, over one connection: with hundreds of users the way to the node would take longer than the node. One
    // user that fails keeps no other from being revoked.
    let said = join_all(commands.iter().map(|command| say(&on, credentials, command, ctx))).await;
    node.executed = said.into_iter().fold(Executed::Done, Executed::worse);
    if !ctx.leadership.is_held() {
        return node;
    }
    node.settings = ctx.nodes.observe_settings(ip, credentials, look, NODE_LIMIT).await;
    node
}

fn limit(facts: &Facts, pod: &PodName) -> Duration {
    let was_silent = facts.settings.as_ref().is_some_and(|last| was_silent(last, pod));
    if was_silent && !answers(facts, pod) { SILENT_LIMIT } else { NODE_LIMIT }
}

/// Whether it answered when the topology loop looked last.
pub fn answers(facts: &Facts, pod: &PodName) -> bool {
    let seen = facts.topology.as_ref().and_then(|pass| pass.observed.pods.get(pod));
    seen.is_some_and(|member| member.redis.is_ok())
}

fn was_silent(last: &SettingsReport, pod: &PodName) -> bool {
    matches!(last.nodes.get(pod), Some(Err(Unreachable::TimedOut)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn who_was_silent_last_time_holds_the_others_up_no_more() {
        let pod = PodName::new("demo-0");
        let facts = |look| {
            let nodes = [(pod.clone(), Err(look))].into();
            Facts {
                settings: Some(Arc::new(SettingsReport { nodes, ..Default::default() })),
                ..Default::default()
            }
        };
        assert_eq!(limit(&facts(Unreachable::TimedOut), &pod), SILENT_LIMIT);
        for other in [Unreachable::Refused, Unreachable::Loading] {
            assert_eq!(limit(&facts(other), &pod), NODE_LIMIT);
        }
        assert_eq!(limit(&Facts::default(), &pod), NODE_LIMIT);
    }

    #[test]
    fn who_answers_again_is_looked_at_at_once_and_only_until_it_was_read() {
        assert!(has_missed(Ok(()), Some(false)));
        assert!(!has_missed(Ok(()), Some(true)));
        assert!(!has_missed(Ok(()), None), "its first look is under way");
        assert!(
            !has_missed(Err(&Unreachable::TimedOut), Some(false)),
            "nor would the other loop get an answer"
        );
        assert!(has_missed(Err(&Unreachable::AuthenticationFailed), Some(true)), "the other loop may get in");
    }
}
