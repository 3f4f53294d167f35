//! Horizontal bars for places with long names, and pyramids.

use super::frame::{Frame, LegendKey, RIGHT, WIDTH, shortened, widest};
use super::scale::{Scale, clamped, exact};
use super::{Caption, Series};

/// Height of a row.
const ROW: f64 = 22.0;

/// A chart of horizontal bars: for each place those of all series, stacked. Negative numbers are left out.
#[must_use]
pub fn bars(caption: &Caption<'_>, places: &[String], series: &[Series]) -> String {
    sides(caption, places, &[], series)
}

/// A chart of horizontal bars on both sides of an axis: for each place those of `left` and of `right`. Negative numbers
/// are left out.
#[must_use]
pub fn pyramid(caption: &Caption<'_>, places: &[String], left: &[Series], right: &[Series]) -> String {
    sides(caption, places, left, right)
}

fn sides(caption: &Caption<'_>, places: &[String], left: &[Series], right: &[Series]) -> String {
    let names: Vec<&str> = left.iter().chain(right).map(|series| series.name.as_str()).collect();
    let mut frame = Frame::new(caption, &names, LegendKey::Patch);
    let longest = |series: &[Series]| (0..places.len()).map(|place| total(series, place)).fold(0.0, f64::max);
    let ticks = if left.is_empty() { 5 } else { 3 };
    let scale = Scale::of([longest(left), longest(right)], ticks, caption.unit);

    frame.text(0.0, frame.top + 16.0, "start", caption.along);
    let margin = widest(places.iter().map(String::as_str)).max(20.0) + 10.0;
    let (top, bottom) = (frame.top + 24.0, frame.top + 24.0 + ROW * places.len() as f64);
    let room = WIDTH - RIGHT - margin;
    // Leaves room for half a label at the left edge.
    let (middle, reach) = if left.is_empty() { (margin, room) } else { (margin + room / 2.0, room / 2.0 - 12.0) };
    for tick in scale.ticks() {
        let offset = reach * scale.place(tick);
        let mut at = vec![middle + offset];
        if !left.is_empty() && offset > 0.0 {
            at.push(middle - offset);
        }
        for x in at {
            frame.rule((x, top), (x, bottom), false);
            frame.text(x, bottom + 16.0, "middle", &scale.label(tick));
        }
    }
    for (index, place) in places.iter().enumerate() {
        let y = top + ROW * index as f64;
        frame.text(margin - 8.0, y + ROW * 0.7, "end", &shortened(place));
        for (series, first, direction) in [(left, 0, -1.0), (right, left.len(), 1.0)] {
            let mut before = 0.0;
            for (number, own) in series.iter().enumerate() {
                let value = clamped(own.at(index)).max(0.0);
                if value == 0.0 {
                    continue;
                }
                let (from, to) = (reach * scale.place(before), reach * scale.place(before + value));
                before += value;
                let x = if direction > 0.0 { middle + from } else { middle - to };
                let words = format!("{place}, {}: {}", own.name, exact(value, caption.unit));
                frame.rect((x, y + 2.0), (to - from, ROW - 4.0), first + number, &words);
            }
        }
    }
    frame.rule((middle, top), (middle, bottom), true);
    frame.text(WIDTH - RIGHT, bottom + 33.0, "end", caption.values);
    frame.top = bottom + 40.0;
    frame.finish(caption)
}

/// Total length of the bars of a place.
fn total(series: &[Series], place: usize) -> f64 {
    series.iter().map(|series| clamped(series.at(place)).max(0.0)).sum()
}
