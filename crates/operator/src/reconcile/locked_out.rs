//! Nodes that refuse the operator its look at their users, or make it impossible: a moment of it proves nothing, since an address may just have gone
//! to another pod. Whoever can't look there can put nothing right either.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use keyslot_planner::ids::{PodName, Uid};
use keyslot_planner::observed::{Member, Unreachable};
use keyslot_planner::settings::SettingsReport;
use tokio::time::Instant;

/// So long a node has to refuse in every look.
const FOR_A_WHILE: Duration = Duration::from_secs(20);

/// Since when each pod's node has refused the operator.
#[derive(Clone, Debug, Default)]
pub struct Refusals(BTreeMap<Uid, Instant>);

impl Refusals {
    /// Takes note of the last look at users. Tells which pods have refused it for a while.
    pub fn note(
        &mut self,
        pods: &BTreeMap<PodName, Member>,
        settings: Option<&SettingsReport>,
    ) -> BTreeSet<PodName> {
        let refuses = |pod: &PodName| {
            let last = settings.and_then(|report| report.nodes.get(pod));
            matches!(last, Some(Err(Unreachable::AuthenticationFailed | Unreachable::AnswerTooLong)))
        };
        let refusing = pods.iter().filter(|(pod, _)| refuses(pod)).map(|(_, member)| &member.uid);
        let since = |uid: &Uid| self.0.get(uid).copied().unwrap_or_else(Instant::now);
        self.0 = refusing.map(|uid| (uid.clone(), since(uid))).collect();
        let lasts =
            |member: &Member| self.0.get(&member.uid).is_some_and(|since| since.elapsed() >= FOR_A_WHILE);
        pods.iter().filter(|(_, member)| lasts(member)).map(|(pod, _)| pod.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Pod;

    fn pods(redis: Unreachable) -> BTreeMap<PodName, Member> {
        let bare = crate::pods::member(&Pod::default(), None);
        let member = Member { uid: Uid::new("p"), redis: Err(redis), ..bare };
        [(PodName::new("demo-0"), member)].into()
    }

    #[tokio::test(start_paused = true)]
    async fn only_who_refuses_every_look_at_its_users_for_a_while_is_locked_out() {
        let report = |look: Unreachable| SettingsReport {
            nodes: [(PodName::new("demo-0"), Err(look))].into(),
            ..SettingsReport::default()
        };
        let (refused, silent) = (report(Unreachable::AuthenticationFailed), report(Unreachable::TimedOut));
        let pods = pods(Unreachable::AuthenticationFailed);
        let mut refusals = Refusals::default();
        assert!(refusals.note(&pods, Some(&refused)).is_empty(), "not yet");
        tokio::time::advance(FOR_A_WHILE / 2).await;
        assert!(refusals.note(&pods, Some(&silent)).is_empty());
        tokio::time::advance(FOR_A_WHILE / 2).await;
        assert!(refusals.note(&pods, Some(&refused)).is_empty(), "it was silent in between");
        tokio::time::advance(FOR_A_WHILE).await;
        assert_eq!(refusals.note(&pods, Some(&refused)).len(), 1);
        let flooded = report(Unreachable::AnswerTooLong);
        assert_eq!(refusals.note(&pods, Some(&flooded)).len(), 1, "nobody can look there either");
        assert!(refusals.note(&pods, None).is_empty(), "nobody has looked");
    }
}
