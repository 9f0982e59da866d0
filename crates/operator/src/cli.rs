//! The command line: what differs between an installation and a laptop.

use std::net::SocketAddr;

use clap::{Parser, ValueEnum};

/// Runs sharded Redis and Valkey Clusters declared as `RedisCluster` resources.
#[derive(Clone, Debug, Parser)]
#[command(name = "keyslot-operator", version)]
pub struct Arguments {
    /// Namespaces to work in, separated by commas; none means all.
    #[arg(long, env = "KEYSLOT_WATCH_NAMESPACES", value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,

    /// Format of the log.
    #[arg(long, env = "KEYSLOT_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// The DNS domain of the Kubernetes cluster.
    #[arg(long, env = "KEYSLOT_CLUSTER_DOMAIN", default_value = "cluster.local")]
    pub cluster_domain: String,

    /// Seconds until a changed Secret or ConfigMap has surely reached the files that pods have mounted: the kubelets'
    /// syncFrequency and a good margin. Each of the two stages of a rotation of Keyslot's own passwords takes so long.
    #[arg(long, env = "KEYSLOT_FILES_DELAY", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub files_delay: u64,

    /// Work only while holding a Lease, so that several replicas can stand by.
    #[arg(long, env = "KEYSLOT_LEADER_ELECTION")]
    pub leader_election: bool,

    /// Name of the Lease.
    #[arg(long, env = "KEYSLOT_LEASE_NAME", default_value = "keyslot-operator")]
    pub lease_name: String,

    /// Namespace of the Lease; by default the one that the operator runs in.
    #[arg(long, env = "KEYSLOT_LEASE_NAMESPACE")]
    pub lease_namespace: Option<String>,

    /// This process among the replicas; by default the host name.
    #[arg(long, env = "KEYSLOT_IDENTITY")]
    pub identity: Option<String>,

    /// Address of /healthz, /readyz and /metrics.
    #[arg(long, env = "KEYSLOT_HTTP_ADDRESS", default_value = "0.0.0.0:8080")]
    pub http_address: SocketAddr,
}

/// Format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl Arguments {
    /// This process, unique also among the containers that one pod has had.
    pub fn identity(&self) -> String {
        let host =
            || std::fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|name| name.trim().to_owned());
        let name = self.identity.clone().or_else(host).filter(|name| !name.is_empty());
        format!("{}-{:08x}", name.as_deref().unwrap_or("keyslot"), rand::random::<u32>())
    }

    /// The namespaces to watch; `None` stands for all.
    pub fn scopes(&self) -> Vec<Option<String>> {
        let mut names: Vec<&str> =
            self.watch_namespaces.iter().map(|name| name.trim()).filter(|name| !name.is_empty()).collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            vec![None]
        } else {
            names.into_iter().map(|name| Some(name.to_owned())).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(namespaces: &str) -> Vec<Option<String>> {
        let arguments = ["keyslot-operator", "--watch-namespaces", namespaces];
        Arguments::try_parse_from(arguments).unwrap().scopes()
    }

    #[test]
    fn no_namespace_means_all_and_a_namespace_is_watched_once() {
        assert_eq!(scopes(""), [None]);
        assert_eq!(scopes("b, a,b,"), [Some("a".to_owned()), Some("b".to_owned())]);
    }
}
