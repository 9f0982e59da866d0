//! Runs a command in a container, as `kubectl exec` does.

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, AttachParams};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Runs the command with this standard input and returns its standard output.
pub async fn exec(pods: &Api<Pod>, pod: &str, command: &[&str], input: &str) -> Result<String> {
    let parameters = AttachParams::default().stdin(true).stdout(true).stderr(true);
    let mut attached = pods
        .exec(pod, command.to_vec(), &parameters)
        .await
        .with_context(|| format!("cannot exec in {pod}"))?;
    let mut stdin = attached.stdin().context("no standard input")?;
    let mut stdout = attached.stdout().context("no standard output")?;
    let mut stderr = attached.stderr().context("no standard error")?;
    let status = attached.take_status().context("no status")?;
    let (mut output, mut errors) = (String::new(), String::new());
    let write = async {
        stdin.write_all(input.as_bytes()).await?;
        stdin.flush().await?;
        drop(stdin);
        std::io::Result::Ok(())
    };
    let talk =
        async { tokio::join!(write, stdout.read_to_string(&mut output), stderr.read_to_string(&mut errors)) };
    let (written, read, read_errors) = talk.await;
    written.and(read).and(read_errors).with_context(|| format!("the connection to {pod} broke"))?;
    let status = status.await;
    attached.join().await.with_context(|| format!("the connection to {pod} broke"))?;
    match status {
        Some(status) if status.status.as_deref() == Some("Success") => Ok(output),
        Some(status) => {
            bail!("{} in {pod}: {} {errors}", command.join(" "), status.message.unwrap_or_default())
        }
        None => bail!("{} in {pod} ended without a status: {errors}", command.join(" ")),
    }
}
