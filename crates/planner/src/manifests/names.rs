//! Names of the objects, all made from the resource's own.

use crate::ids::ShardNumber;

/// ConfigMap with redis.conf and the scripts.
pub fn config(cluster: &str) -> String {
    format!("{cluster}-config")
}

/// ConfigMap or Secret with users.acl.
pub fn acl(cluster: &str) -> String {
    format!("{cluster}-acl")
}

/// Secret with the operator's memory.
pub fn system(cluster: &str) -> String {
    format!("{cluster}-system")
}

/// Service that clients use.
pub fn client(cluster: &str) -> String {
    format!("{cluster}-client")
}

/// ConfigMap that tells where the cluster is.
pub fn connection(cluster: &str) -> String {
    format!("{cluster}-connection")
}

/// Budget of a shard.
pub fn budget(cluster: &str, shard: ShardNumber) -> String {
    format!("{cluster}-{shard}")
}

/// Secret of a user that names none of its own. Names of Secrets have no `_`.
pub fn user_secret(cluster: &str, user: &str) -> String {
    format!("{cluster}-user-{}", user.replace('_', "-"))
}

/// Whether the API server takes it as the name of a Secret.
pub fn is_dns_subdomain(name: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let label = |label: &str| {
        label.bytes().all(|b| word(b) || b == b'-')
            && label.bytes().next().is_some_and(word)
            && label.bytes().next_back().is_some_and(word)
    };
    name.len() <= 253 && name.split('.').all(label)
}
