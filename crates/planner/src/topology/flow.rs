//! Maximum flow between shards and sites (hosts or zones): a site gives each shard at most one pod.

use std::cmp::Reverse;
use std::collections::{BTreeSet, VecDeque};

/// What has been given so far. Grows by augmenting paths, so that a shard never loses what it has but may get it from
/// another site; when no path is left the flow is a maximum one.
pub(super) struct Flow {
    /// Sites that may give a shard nothing, because a member of it is there already.
    taken: Vec<BTreeSet<usize>>,
    /// Pods that each site can still give.
    pub left: Vec<usize>,
    /// Sites that give a pod to each shard.
    pub given: Vec<BTreeSet<usize>>,
    /// Shards that get a pod from each site.
    takers: Vec<BTreeSet<usize>>,
}

impl Flow {
    pub fn new(taken: Vec<BTreeSet<usize>>, left: Vec<usize>) -> Self {
        let (given, takers) = (vec![BTreeSet::new(); taken.len()], vec![BTreeSet::new(); left.len()]);
        Self { taken, left, given, takers }
    }

    pub fn give(&mut self, shard: usize, site: usize) {
        self.left[site] -= 1;
        self.given[shard].insert(site);
        self.takers[site].insert(shard);
    }

    /// Gives every shard its wanted number, or as many in total as any flow can. For a shard and what it has been given,
    /// `dislike` tells how little it likes each of the sites that are free.
    pub fn fill<D: Fn(usize) -> usize>(
        &mut self,
        wanted: &[usize],
        dislike: impl Fn(usize, &BTreeSet<usize>) -> D,
    ) {
        // A shard from which no path leads on will never have one again: later paths only close ways.
        let mut stuck = vec![false; wanted.len()];
        // Level by level, so that shards without a copy come first.
        for level in 1..=wanted.iter().copied().max().unwrap_or(0) {
            for shard in 0..wanted.len() {
                if !stuck[shard] && self.given[shard].len() < level.min(wanted[shard]) {
                    let dislike = dislike(shard, &self.given[shard]);
                    let free = (0..self.left.len())
                        .filter(|site| self.left[*site] > 0 && self.may_give(*site, shard))
                        .min_by_key(|site| (dislike(*site), Reverse(self.left[*site]), *site));
                    match free {
                        Some(site) => self.give(shard, site),
                        None => stuck[shard] = !self.augment(shard),
                    }
                }
            }
        }
    }

    fn may_give(&self, site: usize, shard: usize) -> bool {
        !self.taken[shard].contains(&site) && !self.given[shard].contains(&site)
    }

    /// Breadth-first search for a site with a pod left: `start` takes a site away from another shard, which takes one
    /// from a third, and so on.
    fn augment(&mut self, start: usize) -> bool {
        let mut unseen: BTreeSet<usize> = (0..self.left.len()).collect();
        let mut reached_by: Vec<Option<usize>> = vec![None; self.left.len()];
        let mut gives_up: Vec<Option<usize>> = vec![None; self.given.len()];
        let mut queue = VecDeque::from([start]);
        while let Some(shard) = queue.pop_front() {
            let next: Vec<usize> =
                unseen.iter().copied().filter(|site| self.may_give(*site, shard)).collect();
            for site in next {
                unseen.remove(&site);
                reached_by[site] = Some(shard);
                if self.left[site] > 0 {
                    self.shift(site, start, (&reached_by, &gives_up));
                    return true;
                }
                for &other in &self.takers[site] {
                    if other != start && gives_up[other].is_none() {
                        gives_up[other] = Some(site);
                        queue.push_back(other);
                    }
                }
            }
        }
        false
    }

    /// Walks a found path back and hands every site on it to the shard that reached it.
    fn shift(
        &mut self,
        end: usize,
        start: usize,
        (reached_by, gives_up): (&[Option<usize>], &[Option<usize>]),
    ) {
        let mut site = end;
        while let Some(shard) = reached_by[site] {
            self.give(shard, site);
            if shard == start {
                return;
            }
            let Some(previous) = gives_up[shard] else { return };
            self.given[shard].remove(&previous);
            self.takers[previous].remove(&shard);
            self.left[previous] += 1;
            site = previous;
        }
    }
}
