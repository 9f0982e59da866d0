//! The operator's own processes: who leads, and what a process says over HTTP. Asked through the API server,
//! so nothing here needs a route to a pod.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams};
use kube::{Client, ResourceExt};

use crate::settings::{self, OPERATOR_NAMESPACE};
use crate::{install, processes, wait};

/// The Lease of the installed operator.
pub const LEASE: &str = "keyslot-operator";

const PORT: u16 = 8080;

/// Who holds the Lease; `None` when it was given free.
pub fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

/// The living pod that holds the operator's Lease.
pub async fn leader(client: &Client) -> Result<String> {
    let leases = Api::<Lease>::namespaced(client.clone(), OPERATOR_NAMESPACE);
    wait::until("an operator leads", wait::A_WHILE, async || {
        let lease = leases.get(LEASE).await?;
        let holder = holder(&lease).context("the lease is free")?;
        let pods = install::operator_pods(client).await?;
        let mut living = pods.iter().map(ResourceExt::name_any);
        living
            .find(|pod| holder.starts_with(&format!("{pod}-")))
            .with_context(|| format!("{holder} holds the lease"))
    })
    .await
}

/// Ends a pod of the operator without a last word. A pod that is deleted with no grace period is still asked
/// to end, and gives its Lease free; only on the local Kubernetes can its process be killed before.
pub async fn kill(client: &Client, pod: &str) -> Result<()> {
    let pods = Api::<Pod>::namespaced(client.clone(), OPERATOR_NAMESPACE);
    if settings::is_local() {
        let processes = processes::of_pod(&pods.get(pod).await?);
        ensure!(!processes.is_empty(), "{pod} has no process here");
        processes::signal("KILL", &processes)?;
    }
    pods.delete(pod, &DeleteParams::default().grace_period(0)).await?;
    Ok(())
}

/// What a process of the operator answers at this path.
pub async fn get(client: &Client, namespace: &str, pod: &str, path: &str) -> Result<String> {
    let target = format!("/api/v1/namespaces/{namespace}/pods/{pod}:{PORT}/proxy/{path}");
    let request = http::Request::get(&target).body(Vec::new())?;
    client.request_text(request).await.with_context(|| format!("{pod} does not answer /{path}"))
}

/// What a process of the operator counts.
pub async fn metrics(client: &Client, namespace: &str, pod: &str) -> Result<Metrics> {
    Metrics::parse(&get(client, namespace, pod, "metrics").await?)
}

/// All series of a process.
#[derive(Clone, Debug)]
pub struct Metrics(Vec<Series>);

/// One series and its value.
#[derive(Clone, Debug)]
pub struct Series {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

impl Metrics {
    fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Ok(Self(lines.map(Series::parse).collect::<Result<_>>()?))
    }

    /// The series of this name that carry these labels, among others maybe.
    pub fn with<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = &'a Series> {
        self.0.iter().filter(move |series| series.name == name && series.has(labels))
    }

    /// The sum of these series; `None` where there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.with(name, labels).map(|series| series.value).reduce(|all, one| all + one)
    }

    /// Every series that is about something in this namespace.
    pub fn about(&self, namespace: &str) -> Vec<&Series> {
        self.0.iter().filter(|series| series.has(&[("namespace", namespace)])).collect()
    }
}

impl Series {
    fn has(&self, labels: &[(&str, &str)]) -> bool {
        labels.iter().all(|(key, value)| self.labels.get(*key).is_some_and(|found| found == value))
    }

    /// Values of labels are words of closed lists and names of Kubernetes: nothing is escaped in them.
    fn parse(line: &str) -> Result<Self> {
        let context = || format!("not a series: {line}");
        let (series, value) = line.rsplit_once(' ').with_context(context)?;
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels.strip_suffix('}').with_context(context)?;
        let pairs = labels.split(',').filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, quoted) = pair.split_once('=')?;
            Some((key.to_owned(), quoted.strip_prefix('"')?.strip_suffix('"')?.to_owned()))
        });
        Ok(Self {
            name: name.to_owned(),
            labels: pairs.collect::<Option<_>>().with_context(context)?,
            value: value.parse().with_context(context)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_found_by_name_and_by_some_of_their_labels() {
        let text = "# TYPE a counter\na_total{k=\"x\",r=\"ok\"} 2\na_total{k=\"y\",r=\"ok\"} 3\nb 1\n# EOF\n";
        let metrics = Metrics::parse(text).unwrap();
        assert_eq!(metrics.sum("a_total", &[("r", "ok")]), Some(5.0));
        assert_eq!(metrics.sum("a_total", &[("k", "y")]), Some(3.0));
        assert_eq!(metrics.sum("b", &[]), Some(1.0));
        assert_eq!(metrics.sum("a_total", &[("r", "failed")]), None);
        assert!(Metrics::parse("a{").is_err());
    }
}
