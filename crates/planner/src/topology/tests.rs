use proptest::prelude::*;

use super::*;

/// `(host, zone)` numbers of pod 0, 1, …; a negative number is not known.
fn pods(places: &[(i32, i32)]) -> BTreeMap<PodName, Place> {
    let pod = |(ordinal, at): (usize, &(i32, i32))| (PodName::new(format!("demo-{ordinal}")), place(*at));
    places.iter().enumerate().map(pod).collect()
}

fn place((host, zone): (i32, i32)) -> Place {
    let name = |prefix: &str, number: i32| (number >= 0).then(|| format!("{prefix}{number}"));
    Place { host: name("host-", host).map(HostName::new), zone: name("zone-", zone).map(ZoneName::new) }
}

/// Pods on hosts without zones: `[2, 3]` is two pods on the first host and three on the second.
fn on_hosts(counts: &[usize]) -> BTreeMap<PodName, Place> {
    let places: Vec<(i32, i32)> =
        (0..).zip(counts).flat_map(|(host, count)| std::iter::repeat_n((host, -1), *count)).collect();
    pods(&places)
}

/// Hosts of each shard, the primary's first.
type Shards = Vec<Vec<Place>>;

fn placed(pods: &BTreeMap<PodName, Place>, shards: usize, replicas: usize) -> Shards {
    let plans = place_shards(pods, shards, replicas);
    let all: Vec<PodName> =
        plans.iter().flat_map(|p| std::iter::once(&p.primary).chain(&p.replicas)).cloned().collect();
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "no pod twice");
    let members =
        |p: &ShardPlan| std::iter::once(&p.primary).chain(&p.replicas).map(|n| pods[n].clone()).collect();
    plans.iter().map(members).collect()
}

fn doubles<T: Ord>(of: impl Iterator<Item = Option<T>>) -> usize {
    let known: Vec<T> = of.flatten().collect();
    known.len() - known.iter().collect::<BTreeSet<_>>().len()
}

fn above_half<T: Ord>(of: impl Iterator<Item = Option<T>>, total: usize) -> usize {
    let mut counts: BTreeMap<T, usize> = BTreeMap::new();
    of.flatten().for_each(|site| *counts.entry(site).or_default() += 1);
    let over = |held: usize| if total >= 3 { (1..=held).filter(|n| 2 * n >= total).count() } else { 0 };
    counts.into_values().map(over).sum()
}

/// How often the four rules are broken: copies by host, primaries by host, copies by zone, primaries by zone.
fn faults(shards: &[Vec<Place>]) -> [usize; 4] {
    let primaries = || shards.iter().filter_map(|shard| shard.first());
    [
        shards.iter().map(|shard| doubles(shard.iter().map(|p| p.host.clone()))).sum(),
        above_half(primaries().map(|p| p.host.clone()), shards.len()),
        shards.iter().map(|shard| doubles(shard.iter().map(|p| p.zone.clone()))).sum(),
        above_half(primaries().map(|p| p.zone.clone()), shards.len()),
    ]
}

/// Every way to give all `pods` to shards of `size`, primaries first.
fn every_placement(pods: &[Place], shards: usize, size: usize, visit: &mut dyn FnMut(&Shards)) {
    fn go(pods: &[Place], partial: &mut Shards, size: usize, visit: &mut dyn FnMut(&Shards)) {
        let Some((pod, rest)) = pods.split_first() else { return visit(partial) };
        for shard in 0..partial.len() {
            if partial[shard].len() < size {
                partial[shard].push(pod.clone());
                go(rest, partial, size, visit);
                partial[shard].pop();
                // Empty shards are all alike.
                if partial[shard].is_empty() {
                    break;
                }
            }
        }
    }
    go(pods, &mut vec![Vec::new(); shards], size, visit);
}

/// Every choice of a primary in each shard.
fn every_primary(shards: &Shards, visit: &mut dyn FnMut(&Shards)) {
    let combinations: usize = shards.iter().map(Vec::len).product();
    for mut choice in 0..combinations {
        let mut turned = shards.clone();
        for shard in &mut turned {
            let (size, pick) = (shard.len(), choice % shard.len());
            choice /= size;
            shard.swap(0, pick);
        }
        visit(&turned);
    }
}

fn any_places(max: usize) -> impl Strategy<Value = Vec<(i32, i32)>> {
    // Hosts in zones: a host is in one zone only; -1 is an unknown host.
    (proptest::collection::vec(-1..2i32, 5), proptest::collection::vec(-1..5i32, max)).prop_map(
        |(zones, hosts)| {
            hosts.into_iter().map(|h| (h, usize::try_from(h).map_or(-1, |h| zones[h]))).collect()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn fresh_shards_break_the_rules_of_hosts_as_rarely_as_any_placement(
        (shards, replicas) in prop_oneof![Just((3usize, 1usize)), Just((4, 1)), Just((2, 2)), Just((3, 0)), Just((2, 1)), Just((1, 3))],
        places in any_places(8),
    ) {
        let pods = pods(&places[..shards * (1 + replicas)]);
        let ours = faults(&placed(&pods, shards, replicas));
        let mut best = [usize::MAX; 2];
        let mut all_rules = false;
        let all: Vec<Place> = pods.values().cloned().collect();
        every_placement(&all, shards, 1 + replicas, &mut |groups| every_primary(groups, &mut |placement| {
            let theirs = faults(placement);
            best = best.min([theirs[0], theirs[1]]);
            all_rules |= theirs == [0; 4];
        }));
        prop_assert_eq!([ours[0], ours[1]], best);
        if all_rules {
            prop_assert_eq!(ours, [0; 4]);
        }
    }

    #[test]
    fn shards_are_led_from_different_hosts_when_their_members_allow_it(
        shards in prop_oneof![Just(3usize), Just(4), Just(5)],
        places in any_places(10),
    ) {
        let mut led: Vec<Vec<(PodName, Place)>> = vec![Vec::new(); shards];
        for (number, (pod, place)) in pods(&places).into_iter().enumerate() {
            led[number % shards].push((pod, place));
        }
        let crowded = |led: &[Vec<(PodName, Place)>]| {
            above_half(led.iter().filter_map(|shard| shard.first()).map(|(_, place)| place.host.clone()), shards)
        };
        let members = led.iter().map(|shard| shard.iter().map(|(_, place)| place.clone()).collect()).collect();
        let mut avoidable = false;
        every_primary(&members, &mut |placement| {
            avoidable |= above_half(placement.iter().map(|shard| shard[0].host.clone()), shards) == 0;
        });
        // One after the other, as the operator does it.
        for _ in 0..20 {
            let Some(taker) = better_primary(&led) else { break };
            let shard = led.iter_mut().find(|shard| shard.iter().any(|(pod, _)| *pod == taker)).unwrap();
            let position = shard.iter().position(|(pod, _)| *pod == taker).unwrap();
            prop_assert!(position > 0, "{taker} is the primary already");
            shard.swap(0, position);
        }
        prop_assert!(better_primary(&led).is_none(), "it ends");
        prop_assert!(!avoidable || crowded(&led) == 0, "{led:?}");
    }

    #[test]
    fn chosen_primaries_break_the_rules_as_rarely_as_any_choice(
        existing in any_places(3), candidates in any_places(6), count in 0usize..=6, replicas in 0usize..2,
    ) {
        let existing: Vec<Place> = existing.into_iter().map(place).collect();
        let candidates = pods(&candidates);
        let judge = |chosen: &[Place]| {
            let all: Shards = existing.iter().chain(chosen).map(|p| vec![p.clone()]).collect();
            let faults = faults(&all);
            (faults[1], faults[3])
        };
        let names = choose_primaries(&existing, &candidates, count, replicas);
        let ours: Vec<Place> = names.iter().map(|n| candidates[n].clone()).collect();
        let all: Vec<&Place> = candidates.values().collect();
        // Hosts of pods that were left out tell zones too, so only candidates with a known host are compared.
        let best = (0u32..64).filter(|mask| mask.count_ones() as usize == count).map(|mask| {
            let picked: Vec<Place> = (0..6).filter(|i| mask & (1 << i) != 0).map(|i| all[i].clone()).collect();
            judge(&picked)
        }).min();
        prop_assert_eq!(Some(judge(&ours)).map(|f| f.0), best.map(|f| f.0));
        let mut reversed = existing.clone();
        reversed.reverse();
        prop_assert_eq!(choose_primaries(&reversed, &candidates, count, replicas), names);
    }

    #[test]
    fn replicas_share_a_host_with_a_member_as_rarely_as_any_placement(
        members in proptest::collection::vec(proptest::collection::vec((0..4i32).prop_map(|h| (h, h / 2)), 1..3), 1..4),
        lacking in proptest::collection::vec(0usize..3, 3),
        spare in proptest::collection::vec((-1..4i32).prop_map(|h| (h, if h < 0 { -1 } else { h / 2 })), 0..6),
    ) {
        let needs: Vec<ShardNeed> = members.iter().zip(&lacking).enumerate().map(|(i, (members, lacking))| ShardNeed {
            primary: PodName::new(format!("demo-{}", 100 + i)), members: members.iter().copied().map(place).collect(), lacking: *lacking,
        }).collect();
        let spare = pods(&spare);
        let given = place_replicas(&needs, &spare);
        let count = |shard: usize, given: &[(PodName, usize)]| given.iter().filter(|(_, s)| *s == shard).count();
        let shares: Vec<usize> = (0..needs.len()).map(|shard| count(shard, &given)).collect();
        prop_assert_eq!(given.len(), spare.len().min(needs.iter().map(|n| n.lacking).sum()));
        let judge = |given: &[(PodName, usize)]| {
            let shards: Shards = needs.iter().enumerate().map(|(i, need)| {
                let more = given.iter().filter(|(_, shard)| *shard == i).map(|(pod, _)| spare[pod].clone());
                need.members.iter().cloned().chain(more).collect()
            }).collect();
            let all = faults(&shards);
            (all[0], all[2])
        };
        let none = judge(&[]);
        let ours = judge(&given);
        let (mut best_host, mut clean) = (usize::MAX, false);
        let names: Vec<&PodName> = spare.keys().collect();
        let options = needs.len() + 1;
        for mut code in 0..options.pow(u32::try_from(names.len()).unwrap()) {
            let mut theirs = Vec::new();
            for name in &names {
                let shard = code % options;
                code /= options;
                if shard < needs.len() {
                    theirs.push(((*name).clone(), shard));
                }
            }
            if (0..needs.len()).all(|shard| count(shard, &theirs) == shares[shard]) {
                let faults = judge(&theirs);
                best_host = best_host.min(faults.0);
                clean |= faults == none;
            }
        }
        prop_assert_eq!(ours.0, best_host);
        if clean {
            prop_assert_eq!(ours, none);
        }
    }

    #[test]
    fn odd_inputs_are_answered_as_far_as_they_go(
        places in any_places(7), shards in 0usize..9, replicas in 0usize..4,
    ) {
        let pods = pods(&places);
        let plans = place_shards(&pods, shards, replicas);
        prop_assert_eq!(plans.len(), shards.min(pods.len()));
        let copies: Vec<usize> = plans.iter().map(|plan| plan.replicas.len()).collect();
        prop_assert_eq!(copies.iter().sum::<usize>(), (pods.len() - plans.len()).min(plans.len() * replicas));
        prop_assert!(copies.iter().max().unwrap_or(&0) - copies.iter().min().unwrap_or(&0) <= 1);
    }
}

#[test]
fn common_layouts_break_only_the_rules_that_they_must() {
    // Pods per host, shards, replicas of each, and how often the rules of hosts are broken.
    let table: &[(&[usize], usize, usize, [usize; 2])] = &[
        (&[2, 2, 2], 3, 1, [0, 0]),
        (&[3, 3], 3, 1, [0, 1]),
        (&[3, 3, 3], 3, 2, [0, 0]),
        (&[4, 3, 3], 5, 1, [0, 0]),
        (&[5, 3, 2], 5, 1, [0, 0]),
        (&[5, 5], 5, 1, [0, 1]),
        (&[3, 3, 1, 1], 4, 1, [0, 0]),
        (&[6], 3, 1, [3, 2]),
        (&[4, 1, 1], 3, 1, [1, 0]),
        (&[1], 1, 0, [0, 0]),
        (&[1, 1], 1, 1, [0, 0]),
        (&[2, 2], 2, 1, [0, 0]),
    ];
    for (counts, shards, replicas, expected) in table {
        let placement = placed(&on_hosts(counts), *shards, *replicas);
        assert_eq!(faults(&placement)[..2], *expected, "{counts:?} {shards}x{replicas}: {placement:?}");
    }
}

#[test]
fn with_one_or_two_shards_primaries_are_on_different_hosts_all_the_same() {
    let placement = placed(&on_hosts(&[2, 2]), 2, 1);
    assert_ne!(placement[0][0].host, placement[1][0].host);
}

#[test]
fn in_two_zones_every_shard_has_a_copy_in_each() {
    let spread = pods(&[(0, 0), (1, 0), (2, 0), (3, 1), (4, 1), (5, 1)]);
    assert_eq!(faults(&placed(&spread, 3, 1))[..3], [0, 0, 0]);
    // Three copies in two zones: one shares, and never all three.
    let nine = pods(&[(0, 0), (1, 0), (2, 0), (0, 0), (1, 0), (3, 1), (4, 1), (3, 1), (4, 1)]);
    let placement = placed(&nine, 3, 2);
    assert_eq!(faults(&placement)[..3], [0, 0, 3], "{placement:?}");
}

#[test]
fn two_lonely_pods_are_not_wasted_on_one_shard() {
    // Both lonely hosts have to give a primary, or a big one gives half of them; they are in different zones.
    let lonely = pods(&[(0, 0), (0, 0), (0, 0), (2, 0), (1, 1), (1, 1), (1, 1), (3, 1)]);
    assert_eq!(faults(&placed(&lonely, 4, 1))[..3], [0, 0, 0]);
}

#[test]
fn half_formed_clusters_are_completed_evenly() {
    let existing = [place((0, -1)), place((1, -1))];
    let chosen = choose_primaries(&existing, &on_hosts(&[1, 1, 2]), 1, 1);
    assert_eq!(chosen, [PodName::new("demo-2")]);
}

#[test]
fn the_largest_cluster_is_placed_without_a_fault() {
    for hosts in [3usize, 40, 3000] {
        let places: Vec<(i32, i32)> =
            (0..3000usize).map(|pod| i32::try_from(pod * 7 % hosts).map(|h| (h, h % 3)).unwrap()).collect();
        let pods = pods(&places);
        let placement = placed(&pods, 500, 5);
        assert_eq!(placement.iter().map(Vec::len).sum::<usize>(), 3000);
        if hosts > 6 {
            assert_eq!(faults(&placement)[..2], [0, 0]);
        }
    }
}
