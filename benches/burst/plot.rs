//! The bursts over their time, as SVG: a row for each, with rate, waiting, in flight and round trip, each in a box of
//! its own with its own scale.

use std::fmt::Write as _;

use crate::numbers::{count, float, grouped};
use crate::run::{Figures, Sample};

/// Sizes, in pixels.
const WIDTH: f64 = 260.0;
const HEIGHT: f64 = 90.0;
const GAP: f64 = 24.0;
const HEAD: f64 = 34.0;
const ROW: f64 = HEAD + HEIGHT + GAP;

/// What is drawn of a step from one sample to the next.
struct Panel {
    name: &'static str,
    colour: &'static str,
    value: fn(&Sample, &Sample) -> Option<f64>,
}

const PANELS: [Panel; 4] = [
    Panel { name: "pushes a second", colour: "#0a7", value: rate },
    Panel { name: "waiting", colour: "#c60", value: |_, now| Some(float(waiting(now))) },
    Panel { name: "in flight", colour: "#06c", value: |_, now| Some(float(now.in_flight)) },
    Panel { name: "round trip, ms (mean)", colour: "#93c", value: round_trip },
];

fn rate(before: &Sample, now: &Sample) -> Option<f64> {
    Some(float(now.ended.saturating_sub(before.ended)) / (now.at - before.at).max(1e-3))
}

const fn waiting(now: &Sample) -> u64 {
    now.published.saturating_sub(now.ended).saturating_sub(now.in_flight)
}

fn round_trip(before: &Sample, now: &Sample) -> Option<f64> {
    let (spent, made) = (now.round_trips.0 - before.round_trips.0, now.round_trips.1 - before.round_trips.1);
    (made > 0.0).then(|| spent / made * 1e3)
}

/// The whole picture.
pub fn render(bursts: &[Figures]) -> String {
    let width = GAP + (WIDTH + GAP) * float(PANELS.len() as u64);
    let height = GAP + ROW * float(bursts.len() as u64);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (nth, figures) in bursts.iter().enumerate() {
        let top = GAP + ROW * float(nth as u64);
        let what = figures.scenario.what.replace('&', "&amp;").replace('<', "&lt;");
        let _ = writeln!(svg, "<text x=\"{GAP}\" y=\"{top}\" font-weight=\"bold\">{what}</text>");
        for (place, panel) in PANELS.iter().enumerate() {
            draw(&mut svg, panel, &figures.series, GAP + (WIDTH + GAP) * float(place as u64), top + HEAD);
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw(svg: &mut String, panel: &Panel, series: &[Sample], left: f64, top: f64) {
    let end = series.last().map_or(1.0, |sample| sample.at).max(1e-3);
    let points: Vec<(f64, f64)> =
        series.windows(2).filter_map(|pair| Some((pair[1].at, (panel.value)(&pair[0], &pair[1])?))).collect();
    let most = points.iter().fold(0.0_f64, |most, (_, value)| most.max(*value));
    let path: String = points
        .iter()
        .map(|(at, value)| {
            let (x, y) = (left + at / end * WIDTH, top + HEIGHT * (1.0 - value / most.max(1e-9)));
            format!("{x:.1},{y:.1} ")
        })
        .collect();
    let most = if most < 100.0 { format!("{most:.1}") } else { grouped(count(most)) };
    let (name, colour) = (panel.name, panel.colour);
    let (label, foot) = (top - 6.0, top + HEIGHT + 12.0);
    let _ = writeln!(
        svg,
        "<rect x=\"{left}\" y=\"{top}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"none\" stroke=\"#ddd\"/>"
    );
    let _ = writeln!(svg, "<text x=\"{left}\" y=\"{label}\" fill=\"{colour}\">{name}, at most {most}</text>");
    let _ = writeln!(svg, "<text x=\"{left}\" y=\"{foot}\" fill=\"#888\">0 to {end:.1} s</text>");
    let _ = writeln!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\"/>", path.trim_end());
}
