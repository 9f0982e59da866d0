//! Which loop of the operator a request belongs to: the operator says so in the span around each pass, and `kube`
//! carries spans along to where requests are sent.

use std::fmt;
use std::str::FromStr;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Subscriber, dispatcher};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// Who sends a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// The topology loop.
    Topology,
    /// The settings loop.
    Settings,
    /// Neither, such as the lease.
    Other,
}

impl Lane {
    /// The lane of whoever calls this.
    pub fn current() -> Self {
        let current = tracing::Span::current();
        let Some(id) = current.id() else { return Self::Other };
        dispatcher::get_default(|dispatch| {
            let span = dispatch.downcast_ref::<Registry>()?.span(&id)?;
            span.scope().find_map(|span| span.extensions().get::<Self>().copied())
        })
        .unwrap_or(Self::Other)
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Topology => "topology",
            Self::Settings => "settings",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Lane {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Topology, Self::Settings, Self::Other];
        let found = all.into_iter().find(|lane| lane.as_str() == text);
        found.ok_or_else(|| anyhow::anyhow!("no lane is called {text}"))
    }
}

/// Remembers the lane of each span that has a field `controller`.
pub struct LaneLayer;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LaneLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let mut controller = Controller(None);
        attributes.record(&mut controller);
        if let (Some(lane), Some(span)) = (controller.0, ctx.span(id)) {
            span.extensions_mut().insert(lane);
        }
    }
}

struct Controller(Option<Lane>);

impl Visit for Controller {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "controller" {
            self.0 = value.parse().ok();
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}
