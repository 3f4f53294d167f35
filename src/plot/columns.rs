//! Vertical bars.

use super::frame::{Frame, LegendKey, RIGHT, WIDTH, widest, width};
use super::scale::{Scale, clamped, exact};
use super::{Arrangement, Caption, Series};

/// Height of the plot area.
const HIGH: f64 = 230.0;

/// A chart of vertical bars: for each place those of all series, stacked or grouped.
#[must_use]
pub fn columns(caption: &Caption<'_>, places: &[String], series: &[Series], arrangement: Arrangement) -> String {
    let names: Vec<&str> = series.iter().map(|series| series.name.as_str()).collect();
    let mut frame = Frame::new(caption, &names, LegendKey::Patch);
    let extremes = (0..places.len()).flat_map(|place| match arrangement {
        Arrangement::Grouped => series.iter().map(|series| series.at(place)).collect(),
        Arrangement::Stacked => vec![stack(series, place, f64::max), stack(series, place, f64::min)],
    });
    let area = PlotArea::new(&mut frame, caption, Scale::of(extremes, 5, caption.unit), places);
    for (index, place) in places.iter().enumerate() {
        let (mut up, mut down) = (0.0, 0.0);
        for (number, own) in series.iter().enumerate() {
            let value = clamped(own.at(index));
            if value == 0.0 {
                continue;
            }
            let words = format!("{place}, {}: {}", own.name, exact(value, caption.unit));
            let wide = area.pitch * 0.8;
            let (left, wide, from) = match arrangement {
                Arrangement::Stacked => {
                    let base = if value > 0.0 { &mut up } else { &mut down };
                    let from = *base;
                    *base += value;
                    (area.left_of(index, wide), wide, from)
                }
                Arrangement::Grouped => {
                    let each = wide / series.len() as f64;
                    (area.left_of(index, wide) + each * number as f64, each, 0.0)
                }
            };
            let (a, b) = (area.y(from), area.y(from + value));
            frame.rect((left, a.min(b)), (wide, (a - b).abs()), number, &words);
        }
    }
    area.finish(&mut frame);
    frame.finish(caption)
}

/// The sum of the numbers of a place on one side of zero.
fn stack(series: &[Series], place: usize, side: fn(f64, f64) -> f64) -> f64 {
    series.iter().map(|series| side(clamped(series.at(place)), 0.0)).sum()
}

/// The plot area of a chart with a vertical axis of values, and the position of values in it.
#[derive(Debug)]
pub struct PlotArea {
    left: f64,
    top: f64,
    scale: Scale,
    /// Width of a place.
    pub pitch: f64,
}

impl PlotArea {
    /// Draws ticks, grid, and the names of as many places as fit.
    pub fn new(frame: &mut Frame, caption: &Caption<'_>, scale: Scale, places: &[String]) -> Self {
        frame.text(0.0, frame.top + 16.0, "start", caption.values);
        let top = frame.top + 30.0;
        let labels: Vec<String> = scale.ticks().into_iter().map(|tick| scale.label(tick)).collect();
        let left = widest(labels.iter().map(String::as_str)) + 10.0;
        let pitch = (WIDTH - RIGHT - left) / places.len().max(1) as f64;
        let area = Self { left, top, scale, pitch };
        for (tick, label) in scale.ticks().into_iter().zip(&labels) {
            let y = area.y(tick);
            frame.rule((left, y), (WIDTH - RIGHT, y), false);
            frame.text(left - 6.0, y + 4.0, "end", label);
        }
        // Only every n-th place has a name, so that names do not overlap.
        let every = ((places.iter().map(|place| width(place)).fold(0.0, f64::max) + 14.0) / pitch).ceil().max(1.0);
        for (index, place) in places.iter().enumerate().step_by(every as usize) {
            frame.text(area.centre(index), top + HIGH + 17.0, "middle", place);
        }
        frame.text(WIDTH - RIGHT, top + HIGH + 35.0, "end", caption.along);
        frame.top = top + HIGH + 42.0;
        area
    }

    /// The x position of the middle of a place.
    pub fn centre(&self, place: usize) -> f64 {
        self.left + self.pitch * (place as f64 + 0.5)
    }

    /// The y position of a value.
    pub fn y(&self, value: f64) -> f64 {
        self.top + HIGH * (1.0 - self.scale.place(value))
    }

    /// Top and height.
    pub const fn upright(&self) -> (f64, f64) {
        (self.top, HIGH)
    }

    fn left_of(&self, place: usize, wide: f64) -> f64 {
        self.centre(place) - wide / 2.0
    }

    /// Draws the line of zero over the bars.
    pub fn finish(&self, frame: &mut Frame) {
        let zero = self.y(0.0);
        frame.rule((self.left, zero), (WIDTH - RIGHT, zero), true);
    }
}
