//! `GET /metrics`.
//!
//! A scraper says which format it reads. OpenMetrics goes to those that name it, as Prometheus does; everybody else, a
//! person with curl and `promtool check metrics` among them, gets Prometheus' own text format.

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};

use crate::pipeline::View;
use crate::telemetry::Exposition;

pub(super) async fn metrics(State(view): State<View>, headers: HeaderMap) -> Response {
    view.measure();
    let exposition = wanted(&headers);
    ([(header::CONTENT_TYPE, exposition.content_type())], view.metrics.render_as(exposition)).into_response()
}

fn wanted(headers: &HeaderMap) -> Exposition {
    let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let named = accepts.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/openmetrics-text"))
            && !parts.any(|parameter| matches!(parameter, "q=0" | "q=0.0"))
    });
    if named { Exposition::OpenMetrics } else { Exposition::Classic }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_goes_to_those_that_name_it() {
        let wanted = |accept: &[&str]| {
            let values = accept.iter().map(|value| (header::ACCEPT, value.parse().unwrap()));
            wanted(&values.collect())
        };
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(wanted(&[prometheus]), Exposition::OpenMetrics);
        assert_eq!(wanted(&["text/plain", "Application/OpenMetrics-Text"]), Exposition::OpenMetrics);
        for classic in [&[][..], &["*/*"], &["text/plain"], &["application/openmetrics-text;q=0, */*"]] {
            assert_eq!(wanted(classic), Exposition::Classic, "{classic:?}");
        }
    }
}
