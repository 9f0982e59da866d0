//! What the process counts. Label values come from closed lists; the series of a deleted cluster are taken away.

use std::time::Duration;

use keyslot_api::conditions::ConditionType;
use keyslot_api::v1alpha1::RedisClusterStatus;
use keyslot_planner::status::is_true;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::cluster::ClusterRef;

/// A settled pass over six nodes takes a few milliseconds, one with an unreachable node its deadline of seconds.
const SECONDS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0];

/// Which of the two loops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Loop {
    /// Pods, slots, replicas.
    Topology,
    /// Users and live configuration.
    Settings,
}

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// To its end.
    Done,
    /// With an error.
    Failed,
    /// It took longer than a pass may.
    TimedOut,
    /// The leader's claim ended.
    NotLeader,
}

impl Loop {
    /// The label's value, also a field of the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Topology => "topology",
            Self::Settings => "settings",
        }
    }
}

impl Ending {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::TimedOut => "timed-out",
            Self::NotLeader => "not-leader",
        }
    }
}

impl EncodeLabelValue for Loop {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.as_str().encode(encoder)
    }
}

impl EncodeLabelValue for Ending {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.as_str().encode(encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PassLabels {
    controller: Loop,
    outcome: Ending,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LoopLabels {
    controller: Loop,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    controller: Loop,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CommandLabels {
    kind: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClusterLabels {
    namespace: String,
    name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConditionLabels {
    namespace: String,
    name: String,
    condition: &'static str,
}

#[derive(Clone)]
struct Durations;

impl MetricConstructor<Histogram> for Durations {
    fn new_metric(&self) -> Histogram {
        Histogram::new(SECONDS)
    }
}

/// Every series of the process.
pub struct Metrics {
    registry: Registry,
    passes: Family<PassLabels, Counter>,
    durations: Family<LoopLabels, Histogram, Durations>,
    errors: Family<ErrorLabels, Counter>,
    commands: Family<CommandLabels, Counter>,
    leading: Gauge,
    conditions: Family<ConditionLabels, Gauge>,
    ready: Family<ClusterLabels, Gauge>,
    slots_served: Family<ClusterLabels, Gauge>,
    nodes: Family<ClusterLabels, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("keyslot"),
            passes: Family::default(),
            durations: Family::new_with_constructor(Durations),
            errors: Family::default(),
            commands: Family::default(),
            leading: Gauge::default(),
            conditions: Family::default(),
            ready: Family::default(),
            slots_served: Family::default(),
            nodes: Family::default(),
        };
        let r = &mut metrics.registry;
        r.register("reconciles", "Passes over a cluster, by controller and outcome", metrics.passes.clone());
        r.register("reconcile_duration_seconds", "Duration of a pass", metrics.durations.clone());
        r.register("reconcile_errors", "Passes that failed, by reason", metrics.errors.clone());
        r.register(
            "redis_commands",
            "Commands that change a Redis node, by kind and result",
            metrics.commands.clone(),
        );
        r.register("leader", "1 while this process holds the lease", metrics.leading.clone());
        r.register("cluster_condition", "1 while the condition is True", metrics.conditions.clone());
        r.register("cluster_ready", "1 while the RedisCluster is Ready", metrics.ready.clone());
        r.register("cluster_slots_served", "Slots that are served, of 16384", metrics.slots_served.clone());
        r.register("cluster_nodes", "Nodes that answered in the last pass", metrics.nodes.clone());
        metrics
    }
}

impl Metrics {
    /// A pass has ended.
    pub fn pass(&self, controller: Loop, outcome: Ending, took: Duration) {
        self.passes.get_or_create(&PassLabels { controller, outcome }).inc();
        self.durations.get_or_create(&LoopLabels { controller }).observe(took.as_secs_f64());
    }

    /// A pass has failed; `reason` comes from the error's closed list.
    pub fn error(&self, controller: Loop, reason: &'static str) {
        self.errors.get_or_create(&ErrorLabels { controller, reason }).inc();
    }

    /// A command was sent.
    pub fn command(&self, kind: &'static str, result: &'static str) {
        self.commands.get_or_create(&CommandLabels { kind, result }).inc();
    }

    /// Whether this process holds the lease.
    pub fn leading(&self, leading: bool) {
        self.leading.set(i64::from(leading));
    }

    /// How a cluster is.
    pub fn cluster(
        &self,
        cluster: &ClusterRef,
        status: &RedisClusterStatus,
        slots_served: usize,
        nodes: usize,
    ) {
        for condition in ConditionType::ALL {
            let labels = ConditionLabels::of(cluster, *condition);
            self.conditions.get_or_create(&labels).set(i64::from(is_true(status, *condition)));
        }
        let labels = ClusterLabels::of(cluster);
        self.ready.get_or_create(&labels).set(i64::from(is_true(status, ConditionType::Ready)));
        self.slots_served.get_or_create(&labels).set(i64::try_from(slots_served).unwrap_or(i64::MAX));
        self.nodes.get_or_create(&labels).set(i64::try_from(nodes).unwrap_or(i64::MAX));
    }

    /// The cluster is gone, or another process looks after it now.
    pub fn forget(&self, cluster: &ClusterRef) {
        let labels = ClusterLabels::of(cluster);
        for family in [&self.ready, &self.slots_served, &self.nodes] {
            family.remove(&labels);
        }
        for condition in ConditionType::ALL {
            self.conditions.remove(&ConditionLabels::of(cluster, *condition));
        }
    }

    /// `OpenMetrics` text.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl ConditionLabels {
    fn of(cluster: &ClusterRef, condition: ConditionType) -> Self {
        let condition = condition.as_str();
        Self { namespace: cluster.namespace.clone(), name: cluster.name.clone(), condition }
    }
}

impl ClusterLabels {
    fn of(cluster: &ClusterRef) -> Self {
        Self { namespace: cluster.namespace.clone(), name: cluster.name.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_series_of_a_deleted_cluster_go_away() {
        let metrics = Metrics::default();
        let cluster = ClusterRef { namespace: "shop".into(), name: "demo".into() };
        metrics.cluster(&cluster, &RedisClusterStatus::default(), 16384, 6);
        let text = metrics.text().unwrap();
        assert!(text.contains(r#"keyslot_cluster_ready{namespace="shop",name="demo"} 0"#), "{text}");
        let degraded = r#"keyslot_cluster_condition{namespace="shop",name="demo",condition="Degraded"} 0"#;
        assert!(text.contains(degraded), "{text}");
        metrics.forget(&cluster);
        assert!(!metrics.text().unwrap().contains("demo"));
    }

    #[test]
    fn every_metric_is_documented() {
        let page = include_str!("../../../docs/metrics.md");
        let text = Metrics::default().text().unwrap();
        for line in text.lines().filter_map(|line| line.strip_prefix("# HELP ")) {
            let (name, help) = line.split_once(' ').unwrap();
            assert!(page.contains(&format!("`{name}")), "{name}: {help}");
        }
    }

    #[test]
    fn labels_are_words_of_closed_lists() {
        let metrics = Metrics::default();
        metrics.pass(Loop::Topology, Ending::TimedOut, Duration::from_secs(1));
        metrics.command("meet", "ok");
        let text = metrics.text().unwrap();
        assert!(
            text.contains(r#"keyslot_reconciles_total{controller="topology",outcome="timed-out"} 1"#),
            "{text}"
        );
        assert!(text.contains(r#"keyslot_redis_commands_total{kind="meet",result="ok"} 1"#), "{text}");
    }
}
