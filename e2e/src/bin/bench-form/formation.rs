//! One cluster being formed, by whomever, as seen from outside.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use keyslot_e2e::Namespace;
use keyslot_e2e::bench::nodes::password;
use keyslot_e2e::bench::shape::Shape;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use crate::nodes;
use crate::pods;

/// Ends a run that hangs; it measures nothing.
const PATIENCE: Duration = Duration::from_mins(3);

/// The moments that count.
pub struct Moments {
    pub last_start: Timestamp,
    pub running: Timestamp,
    pub formed: Timestamp,
}

impl Moments {
    pub fn since_last_start(&self, moment: Timestamp) -> f64 {
        between(self.last_start, moment)
    }
}

/// Seconds, less than none when the second moment was the earlier one.
pub fn between(earlier: Timestamp, later: Timestamp) -> f64 {
    later.duration_since(earlier).as_secs_f64()
}

/// Looks on until the cluster is formed. Tells when all its nodes answer.
pub async fn look_on(
    namespace: &Namespace,
    shape: Shape,
    answering: oneshot::Sender<Timestamp>,
) -> Result<Moments> {
    let (sender, mut receiver) = watch::channel(Vec::<IpAddr>::new());
    let formed = async {
        // The Secret is there before the first pod is.
        receiver.wait_for(|addresses| !addresses.is_empty()).await.context("there are no pods")?;
        let password = password(namespace).await?;
        nodes::until_formed(shape, receiver, &password, answering).await
    };
    let both = async { tokio::try_join!(pods::until_running(namespace, shape.nodes(), sender), formed) };
    let within = timeout(PATIENCE, both).await;
    let (running, formed) = within.with_context(|| format!("not formed after {PATIENCE:?}"))??;
    Ok(Moments { last_start: pods::last_start(namespace).await?, running, formed })
}
