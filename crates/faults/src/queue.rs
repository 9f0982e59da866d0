//! Which plan a worker runs next: it stays with the flow whose stage it has set, and every flow gets its turn.

use std::collections::VecDeque;

use crate::faults::Plan;

/// Plans that nobody has begun, by the index of their flow.
pub struct Queue {
    waiting: Vec<VecDeque<Plan>>,
    begun: Vec<usize>,
    turn: usize,
}

impl Queue {
    /// The plans of each flow, in the order in which they are to be run. A worker changes the flow after `turn` of them.
    pub fn new(plans: Vec<Vec<Plan>>, turn: usize) -> Self {
        let begun = vec![0; plans.len()];
        Self { waiting: plans.into_iter().map(VecDeque::from).collect(), begun, turn }
    }

    /// The next plan for a worker that has run so many of a flow in a row; with it the index of its flow.
    pub fn next(&mut self, here: Option<(usize, usize)>) -> Option<(usize, Plan)> {
        let stays = here.filter(|(flow, runs)| *runs < self.turn && !self.waiting[*flow].is_empty());
        let waiting = (0..self.waiting.len()).filter(|flow| !self.waiting[*flow].is_empty());
        let neglected = waiting.min_by_key(|flow| self.begun[*flow]);
        let flow = stays.map(|(flow, _)| flow).or(neglected)?;
        self.begun[flow] += 1;
        Some((flow, self.waiting[flow].pop_front()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plans(flow: &str, count: usize) -> Vec<Plan> {
        let line = |number| format!("{flow} | topology: redis meet #{number} | conflict | seed 1");
        (1..=count).map(|number| line(number).parse().unwrap()).collect()
    }

    #[test]
    fn a_worker_stays_for_its_turn_and_all_plans_are_run() {
        let mut queue = Queue::new(vec![plans("a", 5), plans("b", 2)], 2);
        let mut here = None;
        let mut order = Vec::new();
        while let Some((flow, plan)) = queue.next(here) {
            assert_eq!(plan.flow, ["a", "b"][flow]);
            order.push(flow);
            here = Some((flow, here.filter(|(last, _)| *last == flow).map_or(1, |(_, runs)| runs + 1)));
        }
        assert_eq!(order, [0, 0, 1, 1, 0, 0, 0]);
    }

    #[test]
    fn workers_begin_with_different_flows() {
        let mut queue = Queue::new(vec![plans("a", 5), plans("b", 5)], usize::MAX);
        let first: Vec<usize> = (0..2).filter_map(|_| queue.next(None)).map(|(flow, _)| flow).collect();
        assert_eq!(first, [0, 1]);
    }
}
