//! Plots as SVG.

use std::fmt::Write as _;

const SIZE: (f64, f64) = (900.0, 300.0);
const MARGIN: (f64, f64) = (70.0, 40.0);
const COLOURS: [&str; 4] = ["#1f5fa8", "#b8541a", "#3a7d44", "#7a4fa0"];

/// A line of a plot.
pub struct Line {
    pub name: &'static str,
    pub points: Vec<(f64, f64)>,
}

/// Lines over one axis.
pub struct Plot {
    pub title: String,
    /// Unit of the horizontal axis.
    pub x: &'static str,
    /// Unit of the vertical axis.
    pub y: &'static str,
    pub lines: Vec<Line>,
    /// Moments to be marked at the bottom.
    pub marks: Vec<f64>,
}

impl Plot {
    pub fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let right = points().map(|(x, _)| *x).fold(1.0, f64::max);
        let top = nice(points().map(|(_, y)| *y).fold(1.0, f64::max));
        let at = |(x, y): (f64, f64)| {
            let (wide, high) = (SIZE.0 - 2.0 * MARGIN.0, SIZE.1 - 2.0 * MARGIN.1);
            (MARGIN.0 + wide * x / right, SIZE.1 - MARGIN.1 - high * y / top)
        };
        let (width, height) = SIZE;
        let mut out = format!(
            "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' font-family='sans-serif' font-size='12'>\n\
             <rect width='{width}' height='{height}' fill='white'/>\n<text x='{}' y='20' font-size='14'>{}</text>\n",
            MARGIN.0, self.title
        );
        for part in 0..=4 {
            let share = f64::from(part) / 4.0;
            let ((x, base), (_, y)) = (at((right * share, 0.0)), at((0.0, top * share)));
            let (wide, number) =
                (
                    SIZE.0 - MARGIN.0,
                    |value: f64| if value >= 10.0 { format!("{value:.0}") } else { format!("{value:.2}") },
                );
            let _ = writeln!(out, "<path d='M{} {y:.1}H{wide}' stroke='#ddd'/>", MARGIN.0);
            let _ = writeln!(
                out,
                "<text x='{}' y='{:.1}' text-anchor='end'>{} {}</text>",
                MARGIN.0 - 6.0,
                y + 4.0,
                number(top * share),
                self.y
            );
            let _ = writeln!(
                out,
                "<text x='{x:.1}' y='{:.1}' text-anchor='middle'>{} {}</text>",
                base + 18.0,
                number(right * share),
                self.x
            );
        }
        for mark in &self.marks {
            let (x, y) = at((*mark, 0.0));
            let _ = writeln!(out, "<path d='M{x:.1} {y:.1}v-6' stroke='#c22' stroke-width='0.6'/>");
        }
        for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            let path: Vec<String> =
                line.points.iter().map(|point| at(*point)).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let _ = writeln!(out, "<polyline fill='none' stroke='{colour}' points='{}'/>", path.join(" "));
        }
        for (number, (line, colour)) in self.lines.iter().zip(COLOURS.iter().cycle()).enumerate() {
            let x = SIZE.0 - MARGIN.0 - 120.0 * (self.lines.len() - number) as f64;
            let _ = writeln!(out, "<text x='{x}' y='36' fill='{colour}'>{}</text>", line.name);
        }
        out.push_str("</svg>\n");
        out
    }
}

/// A round number that is not less.
fn nice(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 4.0, 5.0, 8.0, 10.0].into_iter().map(|step| step * power).find(|step| *step >= value).unwrap_or(value)
}
