//! Every row of the table of wrong resources, against a real API server.

use anyhow::{Context, Result, bail, ensure};
use keyslot_api::v1alpha1::RedisCluster;
use keyslot_e2e::{Namespace, namespace::with_definitions_only, settings};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, Status};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Table {
    base: Value,
    accepted: Vec<Row>,
    refused: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    name: String,
    create: Option<Value>,
    #[serde(default = "nothing")]
    before: Value,
    update: Option<Value>,
    message: Option<String>,
    #[serde(default)]
    strict: bool,
}

fn nothing() -> Value {
    json!({})
}

#[test]
fn the_api_server_accepts_and_refuses_as_the_table_says() -> Result<()> {
    let path = settings::checkout().join("crates/api/tests/bad-input.yaml");
    let table: Table = serde_saphyr::from_str(&std::fs::read_to_string(path)?)?;
    ensure!(table.refused.len() >= 40, "only {} wrong resources", table.refused.len());
    with_definitions_only(async |namespace| {
        let mut wrong = Vec::new();
        for row in table.accepted.iter().chain(&table.refused) {
            if let Err(error) = judge(namespace, &table.base, row).await {
                wrong.push(format!("{}: {error:#}", row.name));
            }
        }
        ensure!(wrong.is_empty(), "{} rows differ:\n{}", wrong.len(), wrong.join("\n"));
        Ok(())
    })
}

async fn judge(namespace: &Namespace, base: &Value, row: &Row) -> Result<()> {
    let resources = ApiResource::erase::<RedisCluster>(&());
    let api = Api::<DynamicObject>::namespaced_with(namespace.client.clone(), &namespace.name, &resources);
    let answer = match (&row.create, &row.update) {
        (Some(patch), None) => create(&api, &merged(base, patch), row.strict).await?,
        (None, Some(patch)) => update(&api, &merged(base, &row.before), patch).await?,
        _ => bail!("a row has either create or update"),
    };
    match (answer, &row.message) {
        (None, None) => Ok(()),
        (None, Some(message)) => bail!("accepted, instead of: {message}"),
        (Some(status), None) => bail!("refused: {}", status.message),
        (Some(status), Some(message)) => {
            ensure!(status.message.contains(message), "says {:?} instead of {message:?}", status.message);
            Ok(())
        }
    }
}

/// The refusal, if there is one. Nothing is stored: the operator must not form these clusters.
async fn create(api: &Api<DynamicObject>, object: &Value, strict: bool) -> Result<Option<Status>> {
    let validation = if strict { "Strict" } else { "Ignore" };
    let target = format!("{}?dryRun=All&fieldValidation={validation}", api.resource_url());
    let request = http::Request::post(target).header("content-type", "application/json");
    let request = request.body(serde_json::to_vec(object)?)?;
    refusal(api.clone().into_client().request::<DynamicObject>(request).await)
}

/// What is updated has to be there; it is paused, so that the operator leaves it alone.
async fn update(api: &Api<DynamicObject>, before: &Value, patch: &Value) -> Result<Option<Status>> {
    let before = merged(before, &json!({ "spec": { "paused": true } }));
    let before: DynamicObject = serde_json::from_value(before)?;
    let name = before.name_any();
    api.create(&PostParams::default(), &before).await.context("the resource before the update")?;
    let dry = PatchParams { dry_run: true, ..PatchParams::default() };
    let answer = refusal(api.patch(&name, &dry, &Patch::Merge(patch)).await);
    api.delete(&name, &DeleteParams::default()).await?;
    answer
}

fn refusal<T>(answer: Result<T, kube::Error>) -> Result<Option<Status>> {
    match answer {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) => Ok(Some(*status)),
        Err(other) => Err(other.into()),
    }
}

/// JSON merge patch.
fn merged(target: &Value, patch: &Value) -> Value {
    let Value::Object(changes) = patch else { return patch.clone() };
    let mut fields = target.as_object().cloned().unwrap_or_default();
    for (key, change) in changes {
        if change.is_null() {
            fields.remove(key);
        } else {
            let merged = merged(fields.get(key).unwrap_or(&Value::Null), change);
            fields.insert(key.clone(), merged);
        }
    }
    Value::Object(fields)
}
