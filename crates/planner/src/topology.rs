//! Who should be primary, replica, and where. (Being written.)
use std::collections::BTreeMap;
use crate::ids::{HostName, PodName, ZoneName};

/// Where a pod runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Kubernetes node.
    pub host: Option<HostName>,
    /// Its zone.
    pub zone: Option<ZoneName>,
}
/// A shard of a fresh cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardPlan {
    /// Primary.
    pub primary: PodName,
    /// Replicas.
    pub replicas: Vec<PodName>,
}
/// What a shard needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardNeed {
    /// Places of its members.
    pub members: Vec<Place>,
    /// Replicas that it lacks.
    pub lacking: usize,
}
/// Fresh cluster.
pub fn place_shards(_pods: &BTreeMap<PodName, Place>, _shards: usize, _replicas: usize) -> Vec<ShardPlan> {
    Vec::new()
}
/// More primaries.
pub fn choose_primaries(_existing: &[Place], _candidates: &BTreeMap<PodName, Place>, _count: usize, _replicas: usize) -> Vec<PodName> {
    Vec::new()
}
/// Replicas.
pub fn place_replicas(_shards: &[ShardNeed], _spare: &BTreeMap<PodName, Place>) -> Vec<(PodName, usize)> {
    Vec::new()
}
