//! Version `v1alpha1` of the resource, by theme.
//!
//! The doc comments of fields are what `kubectl explain` shows: first what the field is, then its
//! default, limits and change class: `[live]` changes running nodes in place, `[roll]` restarts pods one
//! by one, `[immutable]` can't be changed after creation.

mod cluster;
mod placement;
mod status;
mod storage;
mod users;

pub use cluster::{AclStorage, ClientEndpoint, RedisCluster, RedisClusterSpec};
pub use placement::ResourceRequirements;
pub use status::{Binding, EngineStatus, RedisClusterStatus, ReplicaStatus, ShardStatus, UserStatus};
pub use storage::{Persistence, Retention, RetentionPolicy, Storage};
pub use users::{Password, SecretKeyRef, Selector, User};
