//! When: a replica's link is down and leads to an address that its primary has left.
//! Does: CLUSTER REPLICATE of the same primary, which moves the link. Gossip corrects the table of addresses without
//! it, and then nothing else ever does. Valkey since 8.1 moves the link with the table, and takes this command for
//! done already.
//! Why here: nodes that have met know the address; a replica that hangs counts as one that is there.
//! Never: while the link is up, or leads to where the primary is: that would break off a sync.

use crate::command::RedisCommand;
use crate::observed::{EngineKind, Role};
use crate::words::counted;

use super::view::Seen;
use super::{Operation, Verdict, View};

pub(super) fn step(view: &View<'_>) -> Verdict {
    let operations: Vec<Operation> =
        view.nodes.values().filter_map(|replica| healed(view, replica)).collect();
    if operations.is_empty() {
        return Verdict::Nothing;
    }
    let message =
        format!("pointing {} to the new address of its primary", counted(operations.len(), "replica"));
    Verdict::Act { message, operations }
}

fn healed(view: &View<'_>, replica: &Seen<'_>) -> Option<Operation> {
    let Role::Replica { of, link_up: false, source: Some(source), .. } = &replica.node.role else {
        return None;
    };
    if replica.node.engine.is_at_least(EngineKind::Valkey, 8, 1) {
        return None;
    }
    let here = view.nodes.get(of)?.member.ip?;
    let known = replica.node.peers.get(of)?.address.as_ref()?.ip;
    (*source != here && known == here).then(|| replica.say(RedisCommand::Replicate(of.clone())))?
}
