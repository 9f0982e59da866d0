//! Names that Keyslot reads and writes on Kubernetes objects.

/// API group of the resource, and prefix of all our labels and annotations.
pub const GROUP: &str = "keyslot.dev";

/// Field manager of everything that the operator applies.
pub const FIELD_MANAGER: &str = "keyslot";

/// Label: name of the `RedisCluster` that an object belongs to.
pub const CLUSTER: &str = "keyslot.dev/cluster";

/// Label of pods and budgets: number of the shard.
pub const SHARD: &str = "keyslot.dev/shard";

/// Label of pods: [`ROLE_PRIMARY`] or [`ROLE_REPLICA`].
pub const ROLE: &str = "keyslot.dev/role";

/// Value of [`ROLE`]: the pod is its shard's primary.
pub const ROLE_PRIMARY: &str = "primary";

/// Value of [`ROLE`]: the pod is a replica.
pub const ROLE_REPLICA: &str = "replica";

/// Label of a Secret: `"true"` is its owner's consent that a `RedisCluster` of the namespace may use its
/// values as passwords. Only Secrets with this label are watched and read.
pub const USER_PASSWORD: &str = "keyslot.dev/user-password";

/// Value of [`USER_PASSWORD`] that gives consent.
pub const USER_PASSWORD_CONSENT: &str = "true";

/// Annotation of the pod template: JSON of the part of the spec that the pods were made from. What
/// differs from it is an accepted change that still waits for its roll.
pub const IN_FORCE: &str = "keyslot.dev/in-force";

/// Annotation of objects that the operator keeps: fingerprint of what it applied last, without the contents of files
/// and Secrets, so that an object that is as it was left needs no write.
pub const APPLIED: &str = "keyslot.dev/applied";

/// Annotation of a `RedisCluster`: any new text asks for new passwords of Keyslot's own users; with
/// [`ROTATE_ON_UPGRADE`] each version of the operator makes new ones.
pub const ROTATE_SYSTEM: &str = "keyslot.dev/rotate-system";

/// Value of [`ROTATE_SYSTEM`].
pub const ROTATE_ON_UPGRADE: &str = "on-upgrade";

/// Standard label: name of the application, always [`APP_NAME_VALUE`].
pub const APP_NAME: &str = "app.kubernetes.io/name";

/// Value of [`APP_NAME`].
pub const APP_NAME_VALUE: &str = "redis-cluster";

/// Standard label: name of the `RedisCluster`.
pub const APP_INSTANCE: &str = "app.kubernetes.io/instance";

/// Standard label: what kind of part an object is, such as `server`.
pub const APP_COMPONENT: &str = "app.kubernetes.io/component";

/// Value of [`APP_COMPONENT`] on the pods that run redis-server.
pub const APP_COMPONENT_SERVER: &str = "server";

/// Standard label: who manages the object, always [`FIELD_MANAGER`].
pub const APP_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
