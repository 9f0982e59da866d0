//! From any start that can happen the plan ends in `settled`, stays there and keeps every key. The simulator's checker
//! of the never-list sees every operation on the way, and loses no key unnoticed.

use std::time::Duration;

use keyslot_planner::ids::PodName;
use keyslot_planner::next_step;
use keyslot_testkit::builders::{ClusterBuilder, a_cluster};
use keyslot_testkit::sim::{Layout, Mishaps, World};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const PATIENCE: Duration = Duration::from_mins(3);
/// How long a settled cluster is watched.
const QUIET: u64 = 20_000;

#[derive(Clone, Copy, Debug)]
struct Shape {
    shards: i32,
    replicas: i32,
    persistent: bool,
}

impl Shape {
    fn builder(self) -> ClusterBuilder {
        let builder = a_cluster().shards(self.shards).replicas(self.replicas);
        if self.persistent { builder.persistent() } else { builder }
    }

    fn world(self, layout: Layout) -> World {
        World::new(self.builder().resource(), layout)
    }
}

const THREE: Shape = Shape { shards: 3, replicas: 1, persistent: true };

/// Something that happens to a pod, after so many milliseconds.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill(u32),
    Evict(u32),
    Hang(u32, u64),
}

/// A few worlds, always the same ones, since each is minutes of a cluster's life. `make hunt` sets number and seed.
fn modest() -> ProptestConfig {
    let usual = ProptestConfig::default();
    let rng_seed = match usual.rng_seed {
        RngSeed::Random => RngSeed::Fixed(1),
        RngSeed::Fixed(_) => usual.rng_seed,
    };
    let cases = std::env::var_os("PROPTEST_CASES").map_or(13, |_| usual.cases);
    ProptestConfig { cases, rng_seed, failure_persistence: None, ..usual }
}

fn shape() -> impl Strategy<Value = Shape> {
    let sizes = prop_oneof![
        Just((3, 1)),
        Just((3, 0)),
        Just((3, 2)),
        Just((5, 1)),
        Just((1, 0)),
        Just((1, 1)),
        Just((2, 1))
    ];
    (sizes, any::<bool>()).prop_map(|((shards, replicas), persistent)| Shape { shards, replicas, persistent })
}

fn layout() -> impl Strategy<Value = Layout> {
    (
        any::<u64>(),
        1usize..5,
        0usize..3,
        prop_oneof![Just(500u64), Just(15_000)],
        prop_oneof![Just(20u64), Just(400)],
    )
        .prop_map(|(seed, hosts, zones, slowest_start, slowest_message)| Layout {
            seed,
            hosts,
            zones,
            slowest_start,
            slowest_message,
        })
}

fn mishaps() -> impl Strategy<Value = Mishaps> {
    (proptest::collection::btree_set(0usize..120, 0..4), 0u64..20, 0u64..20).prop_map(
        |(crash_before, fail, lost)| Mishaps { crash_before, fail_percent: fail, lost_answer_percent: lost },
    )
}

fn faults() -> impl Strategy<Value = Vec<(u64, Fault)>> {
    let fault = prop_oneof![
        (0u32..6).prop_map(Fault::Kill),
        (0u32..6).prop_map(Fault::Evict),
        (0u32..6, 300u64..8000).prop_map(|(pod, time)| Fault::Hang(pod, time)),
    ];
    proptest::collection::vec((0u64..3000, fault), 1..5)
}

fn pod(ordinal: u32) -> PodName {
    PodName::new(format!("demo-{ordinal}"))
}

fn suffer(world: &mut World, fault: Fault) {
    match fault {
        Fault::Kill(ordinal) => world.kill(&pod(ordinal)),
        Fault::Evict(ordinal) => world.evict(&pod(ordinal)),
        Fault::Hang(ordinal, time) => {
            let until = world.now + time;
            if let Some(process) = world.bus.processes.get_mut(&pod(ordinal)) {
                process.hung_until = until;
            }
        }
    }
}

fn is_whole(world: &World, shape: Shape) {
    let size = |count: i32| usize::try_from(count).unwrap_or_default();
    let wrong = world.mismatches(size(shape.shards), size(shape.replicas));
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", world.dump());
}

fn settles_for_good(world: &mut World, shape: Shape, mishaps: &Mishaps) {
    world.settle(next_step, mishaps, PATIENCE);
    world.stays_settled(next_step, QUIET);
    is_whole(world, shape);
}

/// A formed cluster with data all of whose pods were replaced at once.
fn all_addresses_changed(layout: Layout) -> World {
    let mut world = THREE.world(layout);
    world.settle(next_step, &Mishaps::default(), PATIENCE);
    world.write(20);
    for ordinal in 0..6 {
        world.evict(&pod(ordinal));
    }
    world.pass_time(1000);
    world
}

/// Gossip tells a replica its primary's new address before the primary itself does; then the server updates its table
/// and leaves the replication link at the old address for ever (Redis; Valkey until 8.0). `CLUSTER REPLICATE` of the same primary repairs it.
#[test]
fn no_replica_stays_at_a_dead_address() {
    // The operator dies with the MEETs half done, and gossip does the rest before it is back.
    let mishaps = Mishaps { crash_before: (64..80).step_by(4).collect(), ..Mishaps::default() };
    for seed in 0..10 {
        let slowest_start = if seed % 2 == 0 { 500 } else { 15_000 };
        let layout = Layout { seed, slowest_start, slowest_message: 400, ..Layout::default() };
        settles_for_good(&mut all_addresses_changed(layout), THREE, &mishaps);
    }
}

/// Under the short node-timeout of forming, a primary that stands still for a second loses its slots to its replica, and
/// two primaries of three are on one host.
#[test]
fn no_host_leads_half_of_the_shards_although_a_node_stood_still() {
    let moments = (0..6).flat_map(|ordinal| (0..8).map(move |step| (ordinal, 1000 + 250 * step)));
    for (ordinal, after) in moments {
        let mut world = THREE.world(Layout::default());
        world.live(next_step, &Mishaps::default(), after);
        if !world.kubernetes.formed {
            suffer(&mut world, Fault::Hang(ordinal, 2500));
        }
        settles_for_good(&mut world, THREE, &Mishaps::default());
    }
}

/// A pod without a volume comes back as somebody else. Whoever it was is forgotten, also where its old address swallows
/// what is sent there, and the newcomer takes its place.
#[test]
fn a_pod_that_is_lost_with_its_memory_is_replaced() {
    let shape = Shape { persistent: false, ..THREE };
    for (ordinal, seed) in (0..6).flat_map(|ordinal| [(ordinal, 1), (ordinal, 2)]) {
        let mut world = shape.world(Layout { seed, ..Layout::default() });
        world.settle(next_step, &Mishaps::default(), PATIENCE);
        world.write(20);
        world.evict(&pod(ordinal));
        settles_for_good(&mut world, shape, &Mishaps::default());
        assert_eq!(world.missing_keys(), Vec::<u32>::new(), "{ordinal}");
    }
}

proptest! {
    #![proptest_config(modest())]

    #[test]
    fn a_fresh_cluster_forms_in_spite_of_crashes_and_errors(
        shape in shape(), layout in layout(), mishaps in mishaps(),
    ) {
        settles_for_good(&mut shape.world(layout), shape, &mishaps);
    }

    #[test]
    fn a_cluster_forms_although_its_pods_come_and_go(
        shape in shape(), layout in layout(), mishaps in mishaps(), faults in faults(),
    ) {
        let mut world = shape.world(layout);
        for (after, fault) in faults {
            world.live(next_step, &mishaps, after);
            // Later it could be a lost shard, which nothing heals unasked.
            if !world.kubernetes.formed {
                suffer(&mut world, fault);
            }
        }
        settles_for_good(&mut world, shape, &mishaps);
    }

    #[test]
    fn data_on_kept_volumes_is_served_again_whatever_the_new_size(
        layout in layout(), mishaps in mishaps(), new_shards in 1i32..5, new_replicas in 0i32..3,
    ) {
        let mut world = THREE.world(layout);
        world.settle(next_step, &Mishaps::default(), PATIENCE);
        world.write(20);
        world.delete_cluster();
        world.resource = THREE.builder().shards(new_shards).replicas(new_replicas).resource();
        world.settle(next_step, &mishaps, PATIENCE);
        world.stays_settled(next_step, QUIET);
        let wrong = world.disagreements();
        prop_assert!(wrong.is_empty(), "{wrong:#?}\n{}", world.dump());
        prop_assert_eq!(world.missing_keys(), Vec::<u32>::new());
    }

    // The same defect as in `no_replica_stays_at_a_dead_address`: forming waits for the replica's link for ever.
    #[test]
    fn a_resource_that_is_deleted_while_it_forms_can_be_made_again(
        shape in shape(), layout in layout(), mishaps in mishaps(), after in 0u64..8000,
    ) {
        let shape = Shape { persistent: true, ..shape };
        let mut world = shape.world(layout);
        world.live(next_step, &mishaps, after);
        world.delete_cluster();
        settles_for_good(&mut world, shape, &mishaps);
    }

    #[test]
    fn new_addresses_of_all_pods_are_made_known(layout in layout(), mishaps in mishaps()) {
        let mut world = all_addresses_changed(layout);
        world.settle(next_step, &mishaps, PATIENCE);
        // Gossip that was on its way can bring an old address back once; what counts is that it comes to rest.
        world.live(next_step, &mishaps, 10_000);
        world.settle(next_step, &mishaps, PATIENCE);
        world.stays_settled(next_step, QUIET);
        let wrong = world.disagreements();
        prop_assert!(wrong.is_empty(), "{wrong:#?}\n{}", world.dump());
        prop_assert_eq!(world.missing_keys(), Vec::<u32>::new());
    }

    #[test]
    fn a_formed_cluster_outlives_single_faults(
        persistent in any::<bool>(), layout in layout(), mishaps in mishaps(), victim in 0u32..6, hang in 0u64..20_000,
    ) {
        let shape = Shape { shards: 3, replicas: 1, persistent };
        let mut world = shape.world(layout);
        world.settle(next_step, &Mishaps::default(), PATIENCE);
        world.write(20);
        let fault = if hang > 300 { Fault::Hang(victim, hang) } else { Fault::Evict(victim) };
        suffer(&mut world, fault);
        world.live(next_step, &mishaps, 30_000);
        settles_for_good(&mut world, shape, &mishaps);
    }
}
