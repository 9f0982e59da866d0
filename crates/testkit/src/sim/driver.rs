//! The driver: looks, plans, carries out, and lets time pass, as the operator would, with its crashes and failures.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use keyslot_planner::desired::Desired;
use keyslot_planner::ids::PodName;
use keyslot_planner::observed::Observed;
use keyslot_planner::plan::{Operation, Plan, Requeue, SETTLED};

use super::bus::Process;
use super::node::{Millis, Node, NodeRole};
use super::rules::broken_rule;
use super::world::{TICK, World};

/// The planner, as the driver calls it.
pub type PlanFn = fn(&Desired, &Observed, Timestamp) -> Plan;

/// What goes wrong on the operator's side.
#[derive(Clone, Debug, Default)]
pub struct Mishaps {
    /// The operator dies before its n-th operation, counted over the whole run, and comes back later.
    pub crash_before: BTreeSet<usize>,
    /// How many operations of a hundred fail without effect.
    pub fail_percent: u64,
    /// How many operations of a hundred are done although their answer is lost.
    pub lost_answer_percent: u64,
}

/// How a run went.
#[derive(Clone, Debug)]
pub struct Run {
    /// Steps in the order of their first pass, repetitions left out.
    pub steps: Vec<&'static str>,
    /// Number of passes.
    pub passes: usize,
    /// Number of operations that were tried.
    pub operations: usize,
    /// How long it took.
    pub took: Millis,
}

impl World {
    /// One pass of the topology loop.
    ///
    /// # Panics
    /// When an operation breaks a rule, or the plan is not a function of what was seen.
    pub fn pass(&mut self, next_step: PlanFn, mishaps: &Mishaps) -> Plan {
        let (desired, observed) = (self.desired(), self.observe());
        let elapsed = SignedDuration::from_millis(i64::try_from(self.now).unwrap_or(i64::MAX));
        let at = Timestamp::UNIX_EPOCH.saturating_add(elapsed).unwrap_or(Timestamp::MAX);
        let plan = next_step(&desired, &observed, at);
        assert_eq!(plan, next_step(&desired, &observed, at), "a plan is a function of what was seen");
        self.keep_up(&plan, (&desired, &observed), mishaps);
        for operation in self.side_by_side(&plan.operations) {
            if mishaps.crash_before.contains(&self.operations) {
                self.operations += 1;
                let away = self.random.between(100, 20_000);
                self.pass_time(away);
                return plan;
            }
            self.operations += 1;
            let broken = broken_rule(self, &desired, &observed, &operation);
            assert!(broken.is_none(), "{broken:?}\n{operation:?}\nin step {}\n{}", plan.step, self.dump());
            if self.random.chance(mishaps.fail_percent) {
                break;
            }
            let answer = self.execute(&operation);
            if answer.is_err() || self.random.chance(mishaps.lost_answer_percent) {
                break;
            }
            if self.random.chance(10) {
                self.pass_time(TICK);
            }
        }
        plan
    }

    /// What stands beside the plan: each operation may fail by itself.
    fn keep_up(&mut self, plan: &Plan, (desired, observed): (&Desired, &Observed), mishaps: &Mishaps) {
        for operation in plan.upkeep.iter().cloned().map(Operation::Kube) {
            let broken = broken_rule(self, desired, observed, &operation);
            assert!(broken.is_none(), "{broken:?}\n{operation:?} beside {}\n{}", plan.step, self.dump());
            if !self.random.chance(mishaps.fail_percent) {
                // What is refused is looked at again in the next pass.
                let _ = self.execute(&operation);
            }
        }
    }

    /// An order in which an executor may carry out the operations: those of one node in order, those of different
    /// nodes in any, a Kubernetes operation behind all that stand before it.
    fn side_by_side(&mut self, operations: &[Operation]) -> Vec<Operation> {
        let mut order = Vec::new();
        for group in operations.split_inclusive(|operation| matches!(operation, Operation::Kube(_))) {
            let mut by_node: BTreeMap<Option<&PodName>, Vec<&Operation>> = BTreeMap::new();
            for operation in group {
                let node = match operation {
                    Operation::Kube(_) => continue,
                    Operation::Redis { on, .. } => Some(&on.pod),
                };
                by_node.entry(node).or_default().insert(0, operation);
            }
            while !by_node.is_empty() {
                let nodes: Vec<Option<&PodName>> = by_node.keys().copied().collect();
                let node = nodes[self.random.index(nodes.len())];
                if let Some(next) = by_node.get_mut(&node).and_then(Vec::pop) {
                    order.push(next.clone());
                } else {
                    by_node.remove(&node);
                }
            }
            order.extend(group.last().filter(|last| matches!(last, Operation::Kube(_))).cloned());
        }
        order
    }

    /// Carries out one operation; the error is the server's answer.
    pub fn execute(&mut self, operation: &Operation) -> Result<(), String> {
        match operation {
            Operation::Kube(operation) => self.kubernetes.execute(operation, self.now, &mut self.random),
            Operation::Redis { on, command } => {
                let now = self.now;
                let there = |p: &&mut Process| p.node.ip == on.ip && p.is_awake(now);
                let process = self.bus.processes.values_mut().find(there).ok_or("nobody answers")?;
                if process.node.id != on.node {
                    return Err("another node answers".to_owned());
                }
                process.node.execute(command, now, &mut self.random)
            }
        }
    }

    /// Passes for a while, whatever comes of it.
    pub fn live(&mut self, next_step: PlanFn, mishaps: &Mishaps, time: Millis) {
        let end = self.now + time;
        while self.now < end {
            let plan = self.pass(next_step, mishaps);
            self.pass_time(pause_after(&plan).min(end.saturating_sub(self.now)));
        }
    }

    /// Passes until the plan is settled.
    ///
    /// # Panics
    /// When a rule is broken, a key is lost, or the time is over.
    pub fn settle(&mut self, next_step: PlanFn, mishaps: &Mishaps, at_most: Duration) -> Run {
        let begun = self.now;
        let deadline = begun + u64::try_from(at_most.as_millis()).unwrap_or(u64::MAX);
        let mut run = Run { steps: Vec::new(), passes: 0, operations: 0, took: 0 };
        loop {
            let plan = self.pass(next_step, mishaps);
            run.passes += 1;
            if run.steps.last() != Some(&plan.step) {
                run.steps.push(plan.step);
            }
            if is_quiet(&plan) {
                (run.operations, run.took) = (self.operations, self.now - begun);
                return run;
            }
            self.pass_time(pause_after(&plan));
            assert!(
                self.now < deadline,
                "not settled: {}: {}\nsteps {:?}\n{}",
                plan.step,
                plan.message,
                run.steps,
                self.dump()
            );
        }
    }

    /// Looks again and again for a while: nothing may be left to do.
    ///
    /// # Panics
    /// When there is.
    pub fn stays_settled(&mut self, next_step: PlanFn, time: Millis) {
        let end = self.now + time;
        while self.now < end {
            let plan = self.pass(next_step, &Mishaps::default());
            let quiet = is_quiet(&plan);
            assert!(quiet, "settled, and then {}: {}\n{}", plan.step, plan.message, self.dump());
            self.pass_time(1000);
        }
    }

    /// The state in a few lines, for messages.
    pub fn dump(&self) -> String {
        let mut text = format!("formed {}, volumes {:?}\n", self.kubernetes.formed, self.kubernetes.claims);
        for (pod, process) in &self.bus.processes {
            // Writing into a String can't fail.
            let _ = writeln!(text, "{pod} {}", line(&process.node));
        }
        text
    }
}

fn is_quiet(plan: &Plan) -> bool {
    plan.step == SETTLED && plan.operations.is_empty() && plan.upkeep.is_empty()
}

/// How long the operator waits; watches tell of most things at once.
const fn pause_after(plan: &Plan) -> Millis {
    match plan.requeue {
        Requeue::Now => TICK,
        Requeue::Soon => 100,
        Requeue::After(_) => 200,
    }
}

fn line(node: &Node) -> String {
    let peer = |(id, peer): (&keyslot_planner::ids::NodeId, &super::PeerView)| {
        let ip = peer.ip.map_or_else(|| "noaddr".to_owned(), |ip| ip.to_string());
        format!("{id:?}@{ip}{}", if peer.linked { "" } else { " (no link)" })
    };
    let peers: Vec<String> = node.peers.iter().map(peer).collect();
    let role = match &node.role {
        NodeRole::Primary { slots } => format!("primary of [{slots}]"),
        NodeRole::Replica { of, link } => format!("replica of {of:?} at {:?}, {:?}", link.target, link.state),
    };
    let (epoch, keys, ok, timeout) =
        (node.config_epoch, node.key_count(), node.cluster_ok, node.node_timeout);
    format!(
        "{:?}@{} {role}, epoch {epoch}, {keys} keys, ok {ok}, timeout {timeout}, shaking hands with {:?}\n    knows {}",
        node.id,
        node.ip,
        node.handshakes.keys(),
        peers.join(", ")
    )
}
