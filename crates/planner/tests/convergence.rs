//! From any start that can happen the plan ends in `settled`, stays there and keeps every key. The simulator's checker
//! of the never-list sees every operation on the way.

use std::time::Duration;

use keyslot_planner::next_step;
use keyslot_testkit::builders::a_cluster;
use keyslot_testkit::sim::{Layout, Mishaps, World};

#[test]
fn a_fresh_cluster_forms() {
    for (shards, replicas) in [(3, 0), (3, 1), (3, 2), (5, 1), (1, 0), (1, 1)] {
        let resource = a_cluster().shards(shards).replicas(replicas).resource();
        let mut world = World::new(resource, Layout::default());
        let run = world.settle(next_step, &Mishaps::default(), Duration::from_secs(60));
        println!("{shards}x{replicas} {run:?}");
    }
}
