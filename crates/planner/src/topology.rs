//! Who should be primary, who replica, and of whom: where copies go so that a lost host or zone hurts least.
//!
//! The rules, the more important first:
//! 1. no shard has two copies on one host;
//! 2. no host holds half or more of the primaries (with one or two shards: as even as can be), because a majority of
//!    the primaries has to live for an election;
//! 3. and 4. the same two for zones;
//! 5. primaries are spread evenly.
//!
//! Rules 1 and 2 hold exactly: they are kept whenever any placement keeps them, and otherwise broken as rarely as
//! possible. Primaries can be chosen first, without a thought for the replicas. The reason is a counting argument: let
//! host `h` have `n(h) <= shards` pods, `p(h)` of them primaries, so that `n(h) - p(h)` are to be replicas of the
//! `shards - p(h)` other primaries. For any set of hosts, of at most `replicas` members, those replicas fit because
//! each host alone fits; a larger set can take all replicas that there are. So no cut is too narrow for any choice of
//! primaries, and [`place_replicas`], a maximum flow, finds the rest. It is the same with zones instead of hosts.
//!
//! A place whose host is not known counts as a host of its own, and a host whose zone is not known as a zone of its
//! own: what is not known is never taken for shared. The order of lists never matters.

mod flow;
mod lead;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::ids::{HostName, PodName, ZoneName};
use flow::Flow;
pub use lead::better_primary;

/// Where a pod runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The Kubernetes node; `None` while it is not known.
    pub host: Option<HostName>,
    /// The zone of that node; `None` when it has none.
    pub zone: Option<ZoneName>,
}

/// The pods of one shard to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardPlan {
    /// The pod that gets the slots.
    pub primary: PodName,
    /// The pods that replicate it.
    pub replicas: Vec<PodName>,
}

/// A shard that may lack replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardNeed {
    /// Its primary, which decides among equals.
    pub primary: PodName,
    /// Where its present members run, the primary included.
    pub members: Vec<Place>,
    /// How many replicas it still lacks.
    pub lacking: usize,
}

/// Forms shards out of pods that belong to none. With fewer than `shards * (1 + replicas_per_shard)` pods every shard
/// gets its primary first and then as many replicas as there are, evenly; with fewer than `shards` pods there are as
/// many shards as pods. With more, the surplus stays out. Shards come in the order of their primaries' ordinals.
pub fn place_shards(
    pods: &BTreeMap<PodName, Place>,
    shards: usize,
    replicas_per_shard: usize,
) -> Vec<ShardPlan> {
    let primaries = choose_primaries(&[], pods, shards, replicas_per_shard);
    let mut spare = pods.clone();
    let need = |primary: &PodName| ShardNeed {
        primary: primary.clone(),
        members: spare.remove(primary).into_iter().collect(),
        lacking: replicas_per_shard,
    };
    let needs: Vec<ShardNeed> = primaries.iter().map(need).collect();
    let mut plans: Vec<ShardPlan> =
        primaries.into_iter().map(|primary| ShardPlan { primary, replicas: Vec::new() }).collect();
    for (replica, shard) in place_replicas(&needs, &spare) {
        plans[shard].replicas.push(replica);
    }
    plans
}

/// Chooses `count` more primaries among the candidates (all of them when there are fewer), next to those that exist.
///
/// The cost is a sum of convex functions of the number of primaries per host and per zone, and zones contain hosts; for
/// such costs taking the cheapest pod again and again is optimal. `replicas_per_shard` only breaks ties: when replicas
/// are wanted the host with the most candidates left gives one, so that what is left for replicas is even.
pub fn choose_primaries(
    existing: &[Place],
    candidates: &BTreeMap<PodName, Place>,
    count: usize,
    replicas_per_shard: usize,
) -> Vec<PodName> {
    let sites = Sites::of(candidates, existing.iter());
    let mut pool = sites.pool(candidates);
    let count = count.min(candidates.len());
    let total = existing.len() + count;
    let mut on_host = vec![0usize; sites.zone_of.len()];
    let mut in_zone = vec![0usize; sites.zones.len()];
    for place in existing {
        let site = sites.of_member(place);
        site.host.into_iter().for_each(|host| on_host[host] += 1);
        site.zone.into_iter().for_each(|zone| in_zone[zone] += 1);
    }
    let half = |held: usize| total >= 3 && 2 * (held + 1) >= total;
    let mut chosen = Vec::with_capacity(count);
    for _ in 0..count {
        let cheapest = (0..pool.len()).filter(|host| !pool[*host].is_empty()).min_by_key(|host| {
            let (held, zone) = (on_host[*host], in_zone[sites.zone_of[*host]]);
            let left = if replicas_per_shard > 0 { pool[*host].len() } else { 0 };
            (half(held), half(zone), held, zone, Reverse(left), *host)
        });
        let Some(host) = cheapest else { break };
        on_host[host] += 1;
        in_zone[sites.zone_of[host]] += 1;
        chosen.extend(pool[host].pop_front());
    }
    chosen.sort_by_key(by_ordinal);
    chosen
}

/// Gives spare pods to the shards that lack replicas: pairs of a pod and the index of its shard in `shards`. When there
/// are too few, shards with the fewest copies come first; when there are too many, the rest stays out.
pub fn place_replicas(shards: &[ShardNeed], spare: &BTreeMap<PodName, Place>) -> Vec<(PodName, usize)> {
    let mut ordered: Vec<(usize, &ShardNeed)> = shards.iter().enumerate().collect();
    ordered.sort_by_key(|(index, need)| (by_ordinal(&need.primary), *index));
    let needs: Vec<&ShardNeed> = ordered.iter().map(|(_, need)| *need).collect();
    let sites = Sites::of(spare, needs.iter().flat_map(|need| &need.members));
    let mut pool = sites.pool(spare);
    let wanted = fair_shares(&needs, spare.len());
    let mut pairs: Vec<(PodName, usize)> = Vec::new();
    for (hosts, (index, _)) in spread(&sites, &needs, &wanted, &pool).into_iter().zip(&ordered) {
        for host in hosts {
            pairs.extend(pool[host].pop_front().map(|pod| (pod, *index)));
        }
    }
    pairs.sort_by_key(|(pod, _)| by_ordinal(pod));
    pairs
}

/// For each shard the hosts that give it a replica; a host comes twice when there is no better way.
fn spread(
    sites: &Sites<'_>,
    needs: &[&ShardNeed],
    wanted: &[usize],
    pool: &[VecDeque<PodName>],
) -> Vec<Vec<usize>> {
    let zone = |host: usize| sites.zone_of[host];
    let members: Vec<Vec<Site>> =
        needs.iter().map(|need| need.members.iter().map(|place| sites.of_member(place)).collect()).collect();
    let taken_zones = members.iter().map(|m| m.iter().filter_map(|site| site.zone).collect()).collect();
    let taken_hosts = members.iter().map(|m| m.iter().filter_map(|site| site.host).collect()).collect();
    let mut left: Vec<usize> = pool.iter().map(VecDeque::len).collect();

    // Copies in different zones are on different hosts, so a full placement by zones is a full placement by hosts.
    let zones = sites.zones.len();
    let mut zones_left = vec![0; zones];
    let mut hosts_of_zone: Vec<Vec<usize>> = vec![Vec::new(); zones];
    for (host, count) in left.iter().enumerate() {
        zones_left[zone(host)] += count;
        hosts_of_zone[zone(host)].push(host);
    }
    let mut by_zone = Flow::new(taken_zones, zones_left);
    by_zone.fill(wanted, |_, _| |_| 0);

    let mut by_host = Flow::new(taken_hosts, left.clone());
    for (shard, zones) in by_zone.given.iter().enumerate() {
        for &zone in zones {
            let fullest = hosts_of_zone[zone].iter().max_by_key(|host| (left[**host], Reverse(**host)));
            if let Some(&host) = fullest.filter(|host| left[**host] > 0) {
                left[host] -= 1;
                by_host.give(shard, host);
            }
        }
    }
    by_host.fill(wanted, |shard, given| {
        let mut copies = vec![0usize; zones];
        let own = members[shard].iter().filter_map(|site| site.zone);
        own.chain(given.iter().map(|host| zone(*host))).for_each(|zone| copies[zone] += 1);
        move |host| copies[zone(host)]
    });
    share_hosts(sites, &members, wanted, by_host)
}

/// Hands out what no placement can avoid: second copies on a host, for the shards with the fewest copies first.
fn share_hosts(sites: &Sites<'_>, members: &[Vec<Site>], wanted: &[usize], flow: Flow) -> Vec<Vec<usize>> {
    let zone = |host: usize| sites.zone_of[host];
    let mut left = flow.left;
    let mut given: Vec<Vec<usize>> =
        flow.given.into_iter().map(|hosts| hosts.into_iter().collect()).collect();
    loop {
        let short = (0..given.len()).filter(|shard| given[*shard].len() < wanted[*shard]);
        let Some(shard) = short.min_by_key(|shard| (members[*shard].len() + given[*shard].len(), *shard))
        else {
            return given;
        };
        let copies = |same: &dyn Fn(&Site) -> bool| {
            let more = given[shard].iter().map(|host| Site { host: Some(*host), zone: Some(zone(*host)) });
            members[shard].iter().copied().chain(more).filter(|site| same(site)).count()
        };
        let least_bad = (0..left.len()).filter(|host| left[*host] > 0).min_by_key(|host| {
            let here = copies(&|site| site.host == Some(*host));
            let near = copies(&|site| site.zone == Some(zone(*host)));
            (here, near, Reverse(left[*host]), *host)
        });
        let Some(host) = least_bad else { return given };
        left[host] -= 1;
        given[shard].push(host);
    }
}

/// How many replicas each shard gets when there are `spare` pods for all: the fewest copies come first.
fn fair_shares(needs: &[&ShardNeed], spare: usize) -> Vec<usize> {
    let mut shares = vec![0usize; needs.len()];
    for _ in 0..spare.min(needs.iter().map(|need| need.lacking).sum()) {
        let short = (0..needs.len()).filter(|shard| shares[*shard] < needs[*shard].lacking);
        if let Some(shard) = short.min_by_key(|shard| (needs[*shard].members.len() + shares[*shard], *shard))
        {
            shares[shard] += 1;
        }
    }
    shares
}

/// People read ordinals as numbers: `demo-2` comes before `demo-10`.
fn by_ordinal(pod: &PodName) -> (Option<u32>, PodName) {
    (pod.ordinal(), pod.clone())
}

/// Hosts and zones by number, so that the rest is arithmetic. There are never more zones than hosts.
struct Sites<'a> {
    hosts: BTreeMap<HostKey<'a>, usize>,
    zones: BTreeMap<ZoneKey<'a>, usize>,
    zone_of: Vec<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum HostKey<'a> {
    Known(&'a HostName),
    OnlyOf(&'a PodName),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ZoneKey<'a> {
    Known(&'a ZoneName),
    OnlyOf(HostKey<'a>),
}

/// Host and zone of a member by number, as far as a spare pod could share them.
#[derive(Clone, Copy)]
struct Site {
    host: Option<usize>,
    zone: Option<usize>,
}

impl<'a> Sites<'a> {
    fn of(pods: &'a BTreeMap<PodName, Place>, members: impl Iterator<Item = &'a Place> + Clone) -> Self {
        let mut zone_names: BTreeMap<HostKey<'a>, Option<&'a ZoneName>> = BTreeMap::new();
        let of_pods = pods.iter().map(|(pod, place)| (host_key(pod, place), place.zone.as_ref()));
        for (key, zone) in of_pods.clone() {
            // Pods of one host that disagree about its zone: the greatest name, so that order does not matter.
            let known = zone_names.entry(key).or_insert(zone);
            *known = (*known).max(zone);
        }
        for place in members {
            if let (Some(host), zone) = (&place.host, &place.zone)
                && let Some(known) = zone_names.get_mut(&HostKey::Known(host))
            {
                *known = (*known).max(zone.as_ref());
            }
        }
        let key_of = |host: &HostKey<'a>| zone_names[host].map_or(ZoneKey::OnlyOf(*host), ZoneKey::Known);
        let keys: BTreeSet<ZoneKey<'a>> = zone_names.keys().map(key_of).collect();
        let zones: BTreeMap<ZoneKey<'a>, usize> = keys.into_iter().zip(0..).collect();
        let zone_of = zone_names.keys().map(|host| zones[&key_of(host)]).collect();
        Self { hosts: zone_names.keys().copied().zip(0..).collect(), zones, zone_of }
    }

    /// The pods of each host, lowest ordinal first.
    fn pool(&self, pods: &'a BTreeMap<PodName, Place>) -> Vec<VecDeque<PodName>> {
        let mut pool: Vec<Vec<PodName>> = vec![Vec::new(); self.zone_of.len()];
        for (pod, place) in pods {
            pool[self.hosts[&host_key(pod, place)]].push(pod.clone());
        }
        for pods in &mut pool {
            pods.sort_by_cached_key(by_ordinal);
        }
        pool.into_iter().map(VecDeque::from).collect()
    }

    fn of_member(&self, place: &'a Place) -> Site {
        let host = place.host.as_ref().and_then(|host| self.hosts.get(&HostKey::Known(host)).copied());
        let named = place.zone.as_ref().and_then(|zone| self.zones.get(&ZoneKey::Known(zone)).copied());
        Site { host, zone: host.map(|host| self.zone_of[host]).or(named) }
    }
}

fn host_key<'a>(pod: &'a PodName, place: &'a Place) -> HostKey<'a> {
    place.host.as_ref().map_or(HostKey::OnlyOf(pod), HostKey::Known)
}
