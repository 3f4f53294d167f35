//! Lines and steps, with bands of uncertainty.

use std::fmt::Write;

use super::columns::PlotArea;
use super::frame::{Frame, LegendKey};
use super::scale::{Scale, clamped, exact};
use super::{Caption, LineSeries};

/// A chart of lines, with a number for each place.
#[must_use]
pub fn lines(caption: &Caption<'_>, places: &[String], lines: &[LineSeries]) -> String {
    let names: Vec<&str> = lines.iter().map(|line| line.name.as_str()).collect();
    let mut frame = Frame::new(caption, &names, LegendKey::Stroke);
    let shown = |line: &LineSeries| line.values.len().min(places.len());
    let values = lines.iter().flat_map(|line| {
        let band = line.band.iter().take(places.len()).flat_map(|(low, high)| [*low, *high]);
        line.values[..shown(line)].iter().copied().chain(band)
    });
    let area = PlotArea::new(&mut frame, caption, Scale::of(values, 5, caption.unit), places);
    for (index, line) in lines.iter().enumerate() {
        for band in pieces(&line.band, places.len(), |(low, high)| low.is_finite() && high.is_finite()) {
            let lows: Vec<(usize, f64)> = band.iter().map(|(place, (low, _))| (*place, *low)).collect();
            let highs: Vec<(usize, f64)> = band.iter().map(|(place, (_, high))| (*place, *high)).collect();
            let mut outline = points(&area, &highs, line.step);
            let mut back = points(&area, &lows, line.step);
            back.reverse();
            outline.append(&mut back);
            frame.area(&format!("{}Z", path(&outline)), index);
        }
    }
    for (index, line) in lines.iter().enumerate() {
        for piece in pieces(&line.values, places.len(), |value| value.is_finite()) {
            let mut outline = points(&area, &piece, line.step);
            if let [(x, y)] = outline[..] {
                // A single point is drawn as a short line, so that it is visible.
                outline = vec![(x - 2.0, y), (x + 2.0, y)];
            }
            frame.path(&path(&outline), index);
        }
    }
    hints(&mut frame, &area, caption, places, lines);
    area.finish(&mut frame);
    frame.finish(caption)
}

/// Tooltips with the numbers of all lines at each place.
fn hints(frame: &mut Frame, area: &PlotArea, caption: &Caption<'_>, places: &[String], lines: &[LineSeries]) {
    let (top, high) = area.upright();
    for (index, place) in places.iter().enumerate() {
        let mut words = place.clone();
        for line in lines {
            let Some(value) = line.values.get(index).filter(|value| value.is_finite()) else { continue };
            let _ = write!(words, "\n{}: {}", line.name, exact(clamped(*value), caption.unit));
            if let Some((low, high)) = line.band.get(index).filter(|(low, high)| low.is_finite() && high.is_finite()) {
                let (low, high) = (exact(clamped(*low), caption.unit), exact(clamped(*high), caption.unit));
                let _ = write!(words, " ({low} to {high})");
            }
        }
        frame.hint((area.centre(index) - area.pitch / 2.0, top), (area.pitch, high), &words);
    }
}

/// Runs of neighbouring values that can be drawn, each value with its place.
fn pieces<T: Copy>(values: &[T], places: usize, drawn: impl Fn(&T) -> bool) -> Vec<Vec<(usize, T)>> {
    let shown: Vec<(usize, T)> = values.iter().copied().take(places).enumerate().collect();
    shown.split(|(_, value)| !drawn(value)).filter(|piece| !piece.is_empty()).map(<[_]>::to_vec).collect()
}

fn points(area: &PlotArea, values: &[(usize, f64)], step: bool) -> Vec<(f64, f64)> {
    let half = area.pitch / 2.0;
    values
        .iter()
        .flat_map(|(place, value)| {
            let (x, y) = (area.centre(*place), area.y(*value));
            if step { vec![(x - half, y), (x + half, y)] } else { vec![(x, y)] }
        })
        .collect()
}

fn path(points: &[(f64, f64)]) -> String {
    let mut path = String::new();
    for (index, (x, y)) in points.iter().enumerate() {
        let _ = write!(path, "{}{x:.1} {y:.1}", if index == 0 { 'M' } else { 'L' });
    }
    path
}
