//! Version `v1alpha1` of the resource, by theme.
//!
//! The doc comments of fields are what `kubectl explain` and docs/reference.md show, always in the same
//! order: what the field is, `Default:`, `Limits:`, and `Change:` with the class of a change (`live` changes
//! running nodes in place, `roll` restarts pods one by one, `immutable` is refused).

mod cluster;
mod directives;
mod placement;
mod rules;
mod schema;
mod status;
mod storage;
mod users;

pub use cluster::{AclStorage, ClientEndpoint, RedisCluster, RedisClusterSpec};
pub use directives::{FREE_DIRECTIVES, OWNED_DIRECTIVES, OwnedDirectives, owned_directive};
pub use placement::ResourceRequirements;
pub use status::{
    Binding, EngineStatus, RedisClusterStatus, ReplicaStatus, ShardStatus, SystemRotationStage,
    SystemRotationStatus, UserStatus,
};
pub use storage::{Persistence, Retention, RetentionPolicy, Storage};
pub use users::{Password, Rotation, SecretKeyRef, Selector, User};
