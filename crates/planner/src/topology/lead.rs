//! Which member of each shard should be its primary, once shards have members: after failovers most primaries may be
//! on one host, and with that host the vote would be lost.

use std::collections::{BTreeMap, BTreeSet};

use super::flow::Flow;
use super::{Place, by_ordinal, host_key};
use crate::ids::PodName;

/// A pod that should take its shard over so that in the end no host holds half or more of the primaries; a shard's first
/// member is its present primary. `None` when that is so already, when no choice among the members brings more of them
/// below half, or with fewer than three shards.
///
/// It is the first step to a choice with more primaries within the limit than the present one, so following it ends.
pub fn better_primary(shards: &[Vec<(PodName, Place)>]) -> Option<PodName> {
    if shards.len() < 3 {
        return None;
    }
    let keys: BTreeSet<_> = shards.iter().flatten().map(|(pod, place)| host_key(pod, place)).collect();
    let hosts: BTreeMap<_, usize> = keys.into_iter().zip(0..).collect();
    let host = |(pod, place): &(PodName, Place)| hosts[&host_key(pod, place)];
    let everywhere: BTreeSet<usize> = (0..hosts.len()).collect();
    let elsewhere = |members: &Vec<(PodName, Place)>| {
        let here: BTreeSet<usize> = members.iter().map(host).collect();
        everywhere.difference(&here).copied().collect()
    };
    let less_than_half = (shards.len() - 1) / 2;
    let mut flow = Flow::new(shards.iter().map(elsewhere).collect(), vec![less_than_half; hosts.len()]);
    let present: Vec<Option<usize>> = shards.iter().map(|members| members.first().map(host)).collect();
    for (shard, host) in present.iter().enumerate() {
        if let Some(host) = host.filter(|host| flow.left[*host] > 0) {
            flow.give(shard, host);
        }
    }
    flow.fill(&vec![1; shards.len()], |_, _| |_| 0);
    let mut moved = shards.iter().zip(flow.given).zip(present).filter_map(|((members, given), present)| {
        let chosen = given.first().filter(|chosen| Some(**chosen) != present)?;
        members
            .iter()
            .filter(|member| host(member) == *chosen)
            .map(|(pod, _)| pod)
            .min_by_key(|pod| by_ordinal(pod))
    });
    moved.next().cloned()
}
