//! Plots as SVG: lines over two axes, each linear or logarithmic. Self-contained; colours follow the page's scheme.

use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 320.0;
/// Space for what stands around the plot: left, right, top, bottom.
const SPACE: (f64, f64, f64, f64) = (64.0, 16.0, 34.0, 46.0);
/// Colours of lines, told apart by most kinds of eyes, on dark and on light.
const COLOURS: [&str; 8] = ["#2f7fd1", "#e07b1a", "#2a9d5c", "#c0392b", "#8e5bc0", "#8a6d3b", "#d35d9e", "#6b7a8f"];
/// Points of a line at most; more can't be seen.
const POINTS_MAX: usize = 1_200;

/// What an axis shows.
#[derive(Clone, Debug)]
pub struct Axis {
    /// What it is, with the unit.
    pub name: String,
    /// Whether each decade takes the same room.
    pub logarithmic: bool,
}

impl Axis {
    /// A linear axis.
    #[must_use]
    pub fn linear(name: &str) -> Axis {
        Axis { name: name.into(), logarithmic: false }
    }

    /// A logarithmic axis.
    #[must_use]
    pub fn logarithmic(name: &str) -> Axis {
        Axis { name: name.into(), logarithmic: true }
    }
}

/// A line.
#[derive(Clone, Debug)]
pub struct Line {
    /// What it is.
    pub name: String,
    /// Its points, in order.
    pub points: Vec<(f64, f64)>,
    /// Whether the points are marked.
    pub marked: bool,
    /// Whether it only sets a bound.
    pub dashed: bool,
}

impl Line {
    /// A plain line.
    #[must_use]
    pub fn new(name: impl Into<String>, points: Vec<(f64, f64)>) -> Line {
        Line { name: name.into(), points, marked: false, dashed: false }
    }

    /// With marked points.
    #[must_use]
    pub fn marked(mut self) -> Line {
        self.marked = true;
        self
    }

    /// As a bound.
    #[must_use]
    pub fn dashed(mut self) -> Line {
        self.dashed = true;
        self
    }
}

/// A plot.
#[derive(Clone, Debug)]
pub struct Plot {
    /// Its title.
    pub title: String,
    /// From left to right.
    pub x: Axis,
    /// From bottom to top.
    pub y: Axis,
    /// Its lines.
    pub lines: Vec<Line>,
}

/// From values to places.
struct Scale {
    logarithmic: bool,
    from: f64,
    to: f64,
    start: f64,
    end: f64,
}

impl Scale {
    fn of(axis: &Axis, values: impl Iterator<Item = f64> + Clone, start: f64, end: f64) -> Scale {
        let values = values.filter(|value| value.is_finite() && (!axis.logarithmic || *value > 0.0));
        let (mut from, mut to) = values.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
        if from > to {
            (from, to) = (1.0, 10.0);
        }
        if axis.logarithmic {
            (from, to) = (10_f64.powf(from.log10().floor()), 10_f64.powf(to.log10().ceil()));
            if from == to {
                to *= 10.0;
            }
        } else {
            from = from.min(0.0);
            to = if to <= from { from + 1.0 } else { to + (to - from) * 0.04 };
        }
        Scale { logarithmic: axis.logarithmic, from, to, start, end }
    }

    fn place(&self, value: f64) -> f64 {
        let part = if self.logarithmic {
            (value.max(self.from).log10() - self.from.log10()) / (self.to.log10() - self.from.log10())
        } else {
            (value - self.from) / (self.to - self.from)
        };
        self.start + part * (self.end - self.start)
    }

    fn ticks(&self) -> Vec<f64> {
        if self.logarithmic {
            let decades = (self.to / self.from).log10().round();
            let within: &[f64] = if decades <= 2.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
            let mut ticks = Vec::new();
            let mut decade = self.from;
            while decade <= self.to * 1.001 {
                ticks.extend(within.iter().map(|by| by * decade).filter(|tick| *tick <= self.to * 1.001));
                decade *= 10.0;
            }
            return ticks;
        }
        let rough = (self.to - self.from) / 6.0;
        let decade = 10_f64.powf(rough.log10().floor());
        let step =
            [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|by| by * decade).find(|step| *step >= rough).unwrap_or(rough);
        let first = (self.from / step).ceil() as i64;
        let last = (self.to / step).floor() as i64;
        (first..=last).map(|at| at as f64 * step).collect()
    }
}

/// A number as short as it can be.
fn short(value: f64) -> String {
    let (value, unit) = match value.abs() {
        big if big >= 1e6 => (value / 1e6, "M"),
        big if big >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let text = format!("{value:.3}");
    format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Text that can stand in SVG and HTML.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

impl Plot {
    /// The plot as an SVG element, with its own style so that it can stand alone.
    #[must_use]
    pub fn svg(&self) -> String {
        let (left, right, top, bottom) = SPACE;
        let all = || self.lines.iter().flat_map(|line| line.points.iter().copied());
        let x = Scale::of(&self.x, all().map(|point| point.0), left, WIDTH - right);
        let y = Scale::of(&self.y, all().map(|point| point.1), HEIGHT - bottom, top);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\" \
             font-family=\"system-ui,sans-serif\" font-size=\"11\">\n<style>svg{{--ink:#222;--rule:#ddd;--paper:#fff}}\
             @media(prefers-color-scheme:dark){{svg{{--ink:#ddd;--rule:#3a3a3a;--paper:#161616}}}}\
             text{{fill:var(--ink)}}.rule{{stroke:var(--rule)}}.axis{{stroke:var(--ink)}}</style>\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" style=\"fill:var(--paper)\"/>\n\
             <text x=\"{left}\" y=\"14\" font-size=\"13\" font-weight=\"600\">{title}</text>\n",
            title = escape(&self.title)
        );
        self.axes(&mut out, &x, &y);
        for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            draw(&mut out, line, colour, &x, &y);
        }
        self.legend(&mut out);
        out.push_str("</svg>\n");
        out
    }

    fn axes(&self, out: &mut String, x: &Scale, y: &Scale) {
        let (left, right, top, bottom) = SPACE;
        let (base, end) = (HEIGHT - bottom, WIDTH - right);
        for tick in x.ticks() {
            let (at, label) = (x.place(tick), short(tick));
            let _ = writeln!(
                out,
                "<line class=\"rule\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{top}\" y2=\"{base}\"/>\
                 <text x=\"{at:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{label}</text>",
                base + 15.0
            );
        }
        for tick in y.ticks() {
            let (at, label) = (y.place(tick), short(tick));
            let _ = writeln!(
                out,
                "<line class=\"rule\" x1=\"{left}\" x2=\"{end}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                left - 6.0,
                at + 4.0
            );
        }
        let _ = writeln!(
            out,
            "<path class=\"axis\" fill=\"none\" d=\"M{left} {top}V{base}H{end}\"/>\n\
             <text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{}</text>\n\
             <text transform=\"translate(13 {:.0}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            (left + end) / 2.0,
            HEIGHT - 12.0,
            escape(&self.x.name),
            (top + base) / 2.0,
            escape(&self.y.name)
        );
    }

    fn legend(&self, out: &mut String) {
        let mut at = SPACE.0;
        for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            let dash = if line.dashed { " stroke-dasharray=\"5 4\"" } else { "" };
            let _ = writeln!(
                out,
                "<line x1=\"{at:.0}\" x2=\"{:.0}\" y1=\"24\" y2=\"24\" stroke=\"{colour}\" stroke-width=\"2\"{dash}/>\
                 <text x=\"{:.0}\" y=\"28\">{}</text>",
                at + 16.0,
                at + 20.0,
                escape(&line.name)
            );
            at += 36.0 + line.name.chars().count() as f64 * 6.2;
        }
    }
}

fn draw(out: &mut String, line: &Line, colour: &str, x: &Scale, y: &Scale) {
    let shown = |(_, value): &&(f64, f64)| value.is_finite() && (!y.logarithmic || *value > 0.0);
    let every = line.points.len().div_ceil(POINTS_MAX).max(1);
    let points: Vec<(f64, f64)> = line.points.iter().step_by(every).filter(shown).copied().collect();
    let places: Vec<String> =
        points.iter().map(|(at, value)| format!("{:.1},{:.1}", x.place(*at), y.place(*value))).collect();
    let dash = if line.dashed { " stroke-dasharray=\"5 4\"" } else { "" };
    let _ = writeln!(
        out,
        "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\" stroke-linejoin=\"round\"{dash} points=\"{}\"/>",
        places.join(" ")
    );
    if line.marked {
        for (at, value) in &points {
            let _ = writeln!(
                out,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"><title>{}: {} at {}</title></circle>",
                x.place(*at),
                y.place(*value),
                escape(&line.name),
                short(*value),
                short(*at)
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_cover_the_axis() {
        let linear = Scale::of(&Axis::linear("s"), [0.0, 57.0].into_iter(), 0.0, 100.0);
        assert_eq!(linear.ticks(), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
        let logarithmic = Scale::of(&Axis::logarithmic("ms"), [0.4, 30.0, 0.0].into_iter(), 0.0, 100.0);
        assert_eq!((logarithmic.from, logarithmic.to), (0.1, 100.0));
        assert_eq!(logarithmic.ticks().len(), 4);
        assert!((logarithmic.place(1.0) - 100.0 / 3.0).abs() < 1e-9);
        assert_eq!((short(0.25), short(12_500.0), short(3e6), short(5.0)).0, "0.25");
        assert_eq!(short(12_500.0), "12.5k");
    }

    #[test]
    fn a_plot_stands_alone_and_escapes_names() {
        let line = Line::new("a<b>&", vec![(1.0, 2.0), (10.0, f64::NAN), (20.0, 5.0)]).marked();
        let plot = Plot { title: "t".into(), x: Axis::logarithmic("x"), y: Axis::linear("y"), lines: vec![line] };
        let svg = plot.svg();
        assert!(svg.starts_with("<svg xmlns=") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("a&lt;b&gt;&amp;") && !svg.contains("NaN"), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 2);
        // Nothing to show is no reason to fail.
        assert!(Plot { lines: Vec::new(), ..plot }.svg().contains("</svg>"));
    }
}
