//! What is counted, and the page that shows it.

use corepoll::{PollerStats, ReactorHandle};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::{counter::Counter, family::Family, histogram::Histogram};
use prometheus_client::registry::Registry;

/// What is counted. All pollers share it, as it changes once a request.
pub struct Metrics {
    pub requests: Family<Vec<(&'static str, String)>, Counter>,
    pub seconds: Histogram,
    pub unlogged: Counter,
}

impl Metrics {
    pub fn register(registry: &mut Registry, pollers: ReactorHandle) -> Metrics {
        let metrics = Metrics {
            requests: Family::default(),
            seconds: Histogram::new([0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0]),
            unlogged: Counter::default(),
        };
        registry.register("requests", "Requests that have ended", metrics.requests.clone());
        registry.register("request_seconds", "How long they took", metrics.seconds.clone());
        registry.register("unlogged", "Lines that were not logged", metrics.unlogged.clone());
        registry.register_collector(Box::new(Pollers(pollers)));
        metrics
    }
}

/// What the pollers count themselves.
#[derive(Debug)]
struct Pollers(ReactorHandle);

impl Collector for Pollers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let stats = self.0.stats();
        for (name, help, value) in [
            (
                "poller_connections",
                "Connections now",
                (|it| it.connections as f64) as fn(&PollerStats) -> f64,
            ),
            ("poller_busy_seconds", "The time in which the poller did not wait", |it| {
                it.busy.as_secs_f64()
            }),
            ("poller_longest_seconds", "The longest call", |it| it.longest.as_secs_f64()),
            ("poller_bytes_in", "Bytes read", |it| it.bytes_in as f64),
            ("poller_bytes_out", "Bytes written", |it| it.bytes_out as f64),
        ] {
            let gauges = stats.iter().map(|stats| ConstGauge::new(value(stats)));
            let kind = ConstGauge::new(0.0).metric_type();
            let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
            for (index, gauge) in gauges.enumerate() {
                gauge.encode(metric.encode_family(&[("poller", index)])?)?;
            }
        }
        Ok(())
    }
}

pub fn show_metrics(registry: &Registry, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let (mut response, mut page) = (Response::default(), String::new());
    if request.uri().path() == "/metrics" && text::encode(&mut page, registry).is_ok() {
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        *response.body_mut() = page.into();
    } else {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    response
}
