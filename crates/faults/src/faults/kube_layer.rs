//! The layer between the operator's client and the API server.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use kube::client::Body;
use serde_json::json;
use tower::{BoxError, Layer, Service};

use super::requests::{Look, at_version, class, look};
use super::{Fault, Faults, Lane, Verdict};

/// What the API server answers.
type Answer = Box<dyn http_body::Body<Data = Bytes, Error = BoxError> + Send + Unpin>;

/// How long a client is told to stay away.
const RETRY_AFTER: &str = "1";

/// Puts the faults of a run below a client.
#[derive(Clone)]
pub struct FaultLayer(pub Arc<Faults>);

impl<S> Layer<S> for FaultLayer {
    type Service = FaultService<S>;

    fn layer(&self, inner: S) -> FaultService<S> {
        FaultService { inner, faults: Arc::clone(&self.0) }
    }
}

/// The client's way to the API server, with the faults of a run.
pub struct FaultService<S> {
    inner: S,
    faults: Arc<Faults>,
}

impl<S> Service<Request<Body>> for FaultService<S>
where
    S: Service<Request<Body>, Response = Response<Answer>, Error = BoxError> + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Answer>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Answer>, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let body = body(&request);
        let created = created_name(request.method(), &body);
        let Some(class) = class(request.method(), request.uri().path(), created.as_deref()) else {
            self.faults.check(request.method().as_str(), &body);
            return self.look(request);
        };
        let faults = Arc::clone(&self.faults);
        faults.check(&class, &body);
        let verdict = faults.judge(Lane::current(), class.clone());
        let under_way = faults.begin();
        // Nothing of it is sent before the future is asked.
        let answer = self.inner.call(request);
        async move {
            let _under_way = under_way;
            match verdict {
                Verdict::Send(delay) => {
                    tokio::time::sleep(delay).await;
                    let answer = answer.await?;
                    if answer.status().is_success() {
                        faults.done(&class);
                    }
                    Ok(answer)
                }
                Verdict::Fault(fault) => with_fault(fault, answer, (&faults, &class)).await,
            }
        }
        .boxed()
    }
}

impl<S> FaultService<S>
where
    S: Service<Request<Body>, Response = Response<Answer>, Error = BoxError> + Send + 'static,
    S::Future: Send + 'static,
{
    /// A request that changes nothing. Lists may be old ones, and what a watch has to tell may be held back.
    fn look(&mut self, mut request: Request<Body>) -> BoxFuture<'static, Result<Response<Answer>, BoxError>> {
        let uri = request.uri().clone();
        match look(request.method(), &uri) {
            Some(Look::List(collection)) => {
                let old = self.faults.old_version(collection).and_then(|version| at_version(&uri, version));
                let Some(old) = old else { return self.inner.call(request).boxed() };
                *request.uri_mut() = old;
                let (faults, answer) = (Arc::clone(&self.faults), self.inner.call(request));
                async move {
                    let answer = answer.await?;
                    if answer.status().is_success() {
                        faults.showed_old_list();
                    }
                    Ok(answer)
                }
                .boxed()
            }
            Some(Look::Watch(collection)) => {
                let (faults, collection) = (Arc::clone(&self.faults), collection.to_owned());
                let answer = self.inner.call(request);
                async move { Ok(answer.await?.map(|body| held_back(body, faults, collection))) }.boxed()
            }
            None => self.inner.call(request).boxed(),
        }
    }
}

/// The same body, each piece only when it may be seen.
fn held_back(body: Answer, faults: Arc<Faults>, collection: String) -> Answer {
    let pieces = stream::unfold((body, faults, collection), async |(mut body, faults, collection)| {
        let piece = body.frame().await?;
        faults.shown(&collection, is_event(&piece)).await;
        Some((piece, (body, faults, collection)))
    });
    Box::new(StreamBody::new(pieces.boxed()))
}

/// Signs of life tell nothing of an object.
fn is_event(piece: &Result<Frame<Bytes>, BoxError>) -> bool {
    let data = piece.as_ref().ok().and_then(Frame::data_ref);
    data.is_some_and(|data| !data.starts_with(br#"{"type":"BOOKMARK""#))
}

async fn with_fault(
    fault: Fault,
    answer: impl Future<Output = Result<Response<Answer>, BoxError>>,
    (faults, class): (&Arc<Faults>, &str),
) -> Result<Response<Answer>, BoxError> {
    let carried_out = async {
        let answer = answer.await;
        if answer.as_ref().is_ok_and(|answer| answer.status().is_success()) {
            faults.done(class);
            faults.was_carried_out();
        }
        answer
    };
    match fault {
        Fault::CrashBefore => faults.die().await,
        Fault::CrashAfter => {
            let _ = carried_out.await;
            faults.die().await
        }
        Fault::StaleStart => {
            let _ = carried_out.await;
            faults.make_stale();
            faults.die().await
        }
        Fault::Conflict => refusal(StatusCode::CONFLICT, "Conflict"),
        Fault::ServerError => refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
        Fault::TooMany => refusal(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests"),
        Fault::Timeout => {
            // The client gives up by itself.
            tokio::time::sleep(Duration::from_mins(10)).await;
            Err("no answer".into())
        }
        Fault::AnswerLost => {
            let _ = carried_out.await;
            Err("the connection ended before the answer".into())
        }
        Fault::HoldPods | Fault::HoldSets | Fault::HoldFiles | Fault::HoldClusters => {
            faults.hold(fault.held());
            carried_out.await
        }
    }
}

fn refusal(status: StatusCode, reason: &str) -> Result<Response<Answer>, BoxError> {
    let body = json!({
        "apiVersion": "v1",
        "kind": "Status",
        "status": "Failure",
        "message": format!("made up by a test: {reason}"),
        "reason": reason,
        "code": status.as_u16(),
    });
    let body =
        Full::new(Bytes::from(serde_json::to_vec(&body)?)).map_err(|never| -> BoxError { match never {} });
    let answer = Response::builder().status(status).header("content-type", "application/json");
    let answer = if status == StatusCode::TOO_MANY_REQUESTS {
        answer.header("retry-after", RETRY_AFTER)
    } else {
        answer
    };
    Ok(answer.body(Box::new(body) as Answer)?)
}

/// The name of what a POST makes, which is in its body.
fn created_name(method: &http::Method, body: &str) -> Option<String> {
    if method != http::Method::POST {
        return None;
    }
    let object: serde_json::Value = serde_json::from_str(body).ok()?;
    Some(object["metadata"]["name"].as_str()?.to_owned())
}

/// What `kube` sends is whole from the beginning.
fn body(request: &Request<Body>) -> String {
    let body = request.body().try_clone().and_then(|body| body.collect().now_or_never()?.ok());
    body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned()).unwrap_or_default()
}
