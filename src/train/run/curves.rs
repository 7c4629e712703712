//! Draws the curves of a run as SVG: one picture with a line for each series, readable on light and dark backgrounds.

use std::fmt::Write;

/// A named series of points, in ascending order of x.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The name in the legend.
    pub name: String,
    /// The points (x, y).
    pub points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
/// The space for titles and for the numbers of the axes: left, top, right, bottom.
const MARGIN: [f64; 4] = [64.0, 40.0, 16.0, 40.0];
/// Colours that are easy to tell apart for people who cannot distinguish red from green.
const COLOURS: [&str; 4] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7"];
/// If there are more points than pixels, each drawn point is the mean of neighbours.
const MOST_POINTS: usize = 640;

/// Larger values are not drawn, like values that are not finite, because their sums would overflow.
const MOST: f64 = 1e100;

/// Draws the series over a common x axis. Points that are not finite or too large are omitted.
pub fn svg(title: &str, x_name: &str, series: &[Series]) -> String {
    let series: Vec<Series> = series.iter().map(thinned).collect();
    let points = || series.iter().flat_map(|s| &s.points);
    let (x_axis, y_axis) = (Axis::over(points().map(|p| p.0)), Axis::over(points().map(|p| p.1)));
    let [left, top, right, bottom] = MARGIN;
    let x = |value: f64| left + x_axis.share(value) * (WIDTH - left - right);
    let y = |value: f64| HEIGHT - bottom - y_axis.share(value) * (HEIGHT - top - bottom);
    let mut out = String::new();
    // Writing to a string cannot fail.
    let mut put = |line: std::fmt::Arguments<'_>| out.write_fmt(line).unwrap_or_default();
    put(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\" \
         fill=\"#777\" role=\"img\"><title>{0}</title>\n<text x=\"{left}\" y=\"20\" font-size=\"15\">{0}</text>\n",
        escaped(title)
    ));
    for tick in y_axis.ticks() {
        let at = y(tick);
        put(format_args!(
            "<path d=\"M{left} {at:.1}H{}\" stroke=\"#777\" stroke-opacity=\".25\"/><text x=\"{}\" y=\"{:.1}\" \
             text-anchor=\"end\">{}</text>\n",
            WIDTH - right,
            left - 6.0,
            at + 4.0,
            number(tick)
        ));
    }
    for tick in x_axis.ticks() {
        let (at, below) = (x(tick), HEIGHT - bottom + 18.0);
        put(format_args!("<text x=\"{at:.1}\" y=\"{below}\" text-anchor=\"middle\">{}</text>\n", number(tick)));
    }
    put(format_args!(
        "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n",
        WIDTH - right,
        HEIGHT - 6.0,
        escaped(x_name)
    ));
    for (i, Series { name, points }) in series.iter().enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        let line: Vec<String> = points.iter().map(|(px, py)| format!("{:.1},{:.1}", x(*px), y(*py))).collect();
        put(format_args!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\n",
            line.join(" ")
        ));
        let at = WIDTH - right - 120.0 * (series.len() - i) as f64;
        put(format_args!("<text x=\"{at}\" y=\"20\" fill=\"{colour}\">{}</text>\n", escaped(name)));
    }
    out.push_str("</svg>\n");
    out
}

fn thinned(series: &Series) -> Series {
    let finite: Vec<_> = series.points.iter().copied().filter(|(x, y)| x.abs() < MOST && y.abs() < MOST).collect();
    let per = finite.len().div_ceil(MOST_POINTS).max(1);
    let mean = |run: &[(f64, f64)]| {
        let n = run.len() as f64;
        (run.iter().map(|p| p.0 / n).sum::<f64>(), run.iter().map(|p| p.1 / n).sum::<f64>())
    };
    Series { name: series.name.clone(), points: finite.chunks(per).map(mean).collect() }
}

/// An axis from the smallest to the largest value, in steps of 1, 2 or 5 times a power of ten.
struct Axis {
    from: f64,
    to: f64,
    step: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
        // The range must be large enough for distinct steps.
        let high =
            if high - low > 1e-12 * low.abs().max(high.abs()).max(1e-280) { high } else { low + low.abs().max(1.0) };
        let rough = (high - low) / 5.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|n| n * power).into_iter().find(|step| *step >= rough).unwrap_or(rough);
        Self { from: (low / step).floor() * step, to: (high / step).ceil() * step, step }
    }

    fn share(&self, value: f64) -> f64 {
        (value - self.from) / (self.to - self.from)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> + '_ {
        let count = ((self.to - self.from) / self.step).round() as usize;
        (0..=count).map(|i| self.from + i as f64 * self.step)
    }
}

/// Formats a number without the digits that come from binary fractions.
fn number(value: f64) -> String {
    if value != 0.0 && !(1e-4..1e9).contains(&value.abs()) {
        return format!("{:e}", format!("{value:.3e}").parse().unwrap_or(value));
    }
    let text = format!("{value:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.into() }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(points: Vec<(f64, f64)>) -> Series {
        Series { name: "a<b".into(), points }
    }

    #[test]
    fn points_are_where_the_axes_say() {
        let picture = svg("loss & more", "step", &[series(vec![(0.0, 0.0), (50.0, f64::NAN), (100.0, 2.0)])]);
        assert!(picture.contains("<title>loss &amp; more</title>") && picture.contains(">a&lt;b<"), "{picture}");
        let (bottom, top) = (HEIGHT - MARGIN[3], MARGIN[1]);
        let line = format!("points=\"{:.1},{bottom:.1} {:.1},{top:.1}\"", MARGIN[0], WIDTH - MARGIN[2]);
        assert!(picture.contains(&line), "{picture}");
        for tick in [">0.5<", ">1.5<", ">2<", ">80<"] {
            assert!(picture.contains(tick), "{tick} in {picture}");
        }
    }

    #[test]
    fn few_equal_and_many_points() {
        for points in [
            vec![],
            vec![(3.0, 7.0)],
            vec![(1.0, 0.0), (2.0, 0.0)],
            vec![(0.0, f64::INFINITY)],
            vec![(0.0, f64::MAX), (1.0, -f64::MAX)],
            vec![(0.0, f64::MAX); 2000],
        ] {
            let picture = svg("t", "x", &[series(points)]);
            assert!(!picture.contains("NaN") && !picture.contains("inf"), "{picture}");
        }
        for extreme in [
            vec![(0.0, f64::MAX), (1.0, -f64::MAX)],
            vec![(0.0, 1e300), (1.0, -1e300)],
            vec![(0.0, 0.0), (1.0, 5e-324)],
            vec![(0.0, 1e300), (1.0, 1e300_f64.next_up())],
            vec![(0.0, 1e17), (1e17, 1e17 + 16.0)],
            (0..3_000).map(|i| (f64::from(i), 9e299)).collect(),
        ] {
            let picture = svg("t", "x", &[series(extreme.clone())]);
            assert!(!picture.contains("NaN") && !picture.contains("inf"), "{extreme:?}: {picture}");
            assert!(picture.len() < 40_000);
        }
        let many = thinned(&series((0..10_000).map(|i| (f64::from(i), 1.0)).collect())).points;
        assert!(many.len() <= MOST_POINTS && many.len() > MOST_POINTS / 2);
        assert!(many.iter().all(|p| p.1 == 1.0));
    }

    #[test]
    fn steps_are_round() {
        let axis = Axis::over([0.03, 0.31].into_iter());
        let ticks: Vec<String> = axis.ticks().map(number).collect();
        assert_eq!(ticks, ["0", "0.1", "0.2", "0.3", "0.4"]);
        assert_eq!(Axis::over([-3.0, 1000.0].into_iter()).ticks().map(number).last().unwrap(), "1000");
    }
}
