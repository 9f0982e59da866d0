//! Nodes that refuse the operator: a moment of it proves nothing, since the settings loop may be about to put its user
//! right, and an address may just have gone to another pod.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use keyslot_planner::ids::{PodName, Uid};
use keyslot_planner::observed::{Member, Unreachable};
use keyslot_planner::settings::SettingsReport;
use tokio::time::Instant;

/// So long a node has to refuse in every look.
const FOR_A_WHILE: Duration = Duration::from_secs(30);

/// Since when each pod's node has refused the operator.
#[derive(Clone, Debug, Default)]
pub struct Refusals(BTreeMap<Uid, Instant>);

impl Refusals {
    /// Takes note of a look at all pods. Tells which have refused in every look for a while.
    pub fn note(&mut self, pods: &BTreeMap<PodName, Member>) -> BTreeSet<PodName> {
        let refusing = pods.values().filter(|member| is_refusal(&member.redis)).map(|member| &member.uid);
        let since = |uid: &Uid| self.0.get(uid).copied().unwrap_or_else(Instant::now);
        self.0 = refusing.map(|uid| (uid.clone(), since(uid))).collect();
        let lasts =
            |member: &Member| self.0.get(&member.uid).is_some_and(|since| since.elapsed() >= FOR_A_WHILE);
        pods.iter().filter(|(_, member)| lasts(member)).map(|(pod, _)| pod.clone()).collect()
    }
}

/// Those of them that refused the settings loop too, when it looked last.
pub fn locked_out(lasting: &BTreeSet<PodName>, settings: Option<&SettingsReport>) -> BTreeSet<PodName> {
    let refused = |pod: &&PodName| {
        let last = settings.and_then(|report| report.nodes.get(*pod));
        last.is_some_and(is_refusal)
    };
    lasting.iter().filter(refused).cloned().collect()
}

fn is_refusal<T>(look: &Result<T, Unreachable>) -> bool {
    matches!(look, Err(Unreachable::AuthenticationFailed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyslot_planner::settings::SettingsReport;

    fn pods(redis: Unreachable) -> BTreeMap<PodName, Member> {
        let member = Member {
            uid: Uid::new("p"),
            ip: None,
            host: None,
            zone: None,
            ready: true,
            terminating: false,
            revision: None,
            labels: keyslot_planner::observed::MemberLabels::default(),
            trouble: None,
            redis: Err(redis),
        };
        [(PodName::new("demo-0"), member)].into()
    }

    #[tokio::test(start_paused = true)]
    async fn only_who_refuses_in_every_look_for_a_while_is_locked_out() {
        let (refusing, away) = (pods(Unreachable::AuthenticationFailed), pods(Unreachable::Refused));
        let mut refusals = Refusals::default();
        assert!(refusals.note(&refusing).is_empty(), "not yet");
        tokio::time::advance(FOR_A_WHILE / 2).await;
        refusals.note(&away);
        tokio::time::advance(FOR_A_WHILE / 2).await;
        assert!(refusals.note(&refusing).is_empty(), "it was away in between");
        tokio::time::advance(FOR_A_WHILE).await;
        let lasting = refusals.note(&refusing);
        assert_eq!(lasting.len(), 1);

        let report = |look: Unreachable| SettingsReport {
            nodes: [(PodName::new("demo-0"), Err(look))].into(),
            ..SettingsReport::default()
        };
        assert!(locked_out(&lasting, None).is_empty(), "the settings loop may get in");
        assert!(locked_out(&lasting, Some(&report(Unreachable::TimedOut))).is_empty());
        assert_eq!(locked_out(&lasting, Some(&report(Unreachable::AuthenticationFailed))), lasting);
    }
}
