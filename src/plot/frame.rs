//! The SVG element of a chart, with its title, legend and shapes.

use std::fmt::Write;

use super::{Caption, colour};
use crate::output::html;

/// Width of a chart in SVG units. The page scales it.
pub const WIDTH: f64 = 720.0;
/// Room at the right edge, for half a label.
pub const RIGHT: f64 = 18.0;
/// Approximate width of a character; the exact width depends on the font.
const CHARACTER: f64 = 6.6;
/// Characters of a label that are shown.
const LABEL: usize = 26;

/// Whether a legend shows patches or strokes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegendKey {
    Patch,
    Stroke,
}

/// A chart that is being drawn from top to bottom.
#[derive(Debug)]
pub struct Frame {
    body: String,
    /// The y position below the shapes drawn so far.
    pub top: f64,
}

impl Frame {
    /// Begins with the title and the legend.
    pub fn new(caption: &Caption<'_>, names: &[&str], key: LegendKey) -> Self {
        let mut frame = Self { body: String::new(), top: 20.0 };
        let title = html::escape(caption.title);
        let _ = writeln!(frame.body, "<text x=\"0\" y=\"16\" font-size=\"15\" font-weight=\"600\">{title}</text>");
        if names.len() > 1 {
            frame.legend(names, key);
        }
        frame
    }

    fn legend(&mut self, names: &[&str], key: LegendKey) {
        let (mut x, mut y) = (0.0, self.top + 18.0);
        for (index, name) in names.iter().enumerate() {
            let wide = 25.0 + width(&shortened(name));
            if x > 0.0 && x + wide > WIDTH {
                (x, y) = (0.0, y + 18.0);
            }
            match key {
                LegendKey::Patch => self.rect((x, y - 10.0), (12.0, 12.0), index, ""),
                LegendKey::Stroke => self.path(&format!("M{x:.1} {:.1}h20", y - 4.0), index),
            }
            self.text(x + if key == LegendKey::Patch { 17.0 } else { 25.0 }, y, "start", &shortened(name));
            x += wide + 10.0;
        }
        self.top = y + 8.0;
    }

    /// Text, which is escaped here. `anchor` is `start`, `middle` or `end`.
    pub fn text(&mut self, x: f64, y: f64, anchor: &str, text: &str) {
        let text = html::escape(text);
        let _ = writeln!(self.body, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>");
    }

    /// A bar in the colour of a series, with a tooltip.
    pub fn rect(&mut self, (x, y): (f64, f64), (wide, high): (f64, f64), series: usize, words: &str) {
        let fill = colour(series);
        let _ = write!(
            self.body,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{wide:.1}\" height=\"{high:.1}\" fill=\"{fill}\" style=\"stroke:Canvas;stroke-width:.7\""
        );
        self.body.push_str(&closed_with_tooltip("rect", words));
    }

    /// A stroke in the colour and dash pattern of a series. The pattern distinguishes series without colour.
    pub fn path(&mut self, path: &str, series: usize) {
        let dashes = ["", "7 3", "2 3", "9 3 2 3", "12 4"][series % 5];
        let stroke = colour(series);
        let _ = writeln!(
            self.body,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"2\" stroke-dasharray=\"{dashes}\" stroke-linejoin=\"round\"/>"
        );
    }

    /// A translucent shape in the colour of a series.
    pub fn area(&mut self, path: &str, series: usize) {
        let fill = colour(series);
        let _ = writeln!(self.body, "<path d=\"{path}\" fill=\"{fill}\" fill-opacity=\".22\"/>");
    }

    /// An invisible area with a tooltip.
    pub fn hint(&mut self, (x, y): (f64, f64), (wide, high): (f64, f64), words: &str) {
        let _ = write!(
            self.body,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{wide:.1}\" height=\"{high:.1}\" fill=\"transparent\""
        );
        self.body.push_str(&closed_with_tooltip("rect", words));
    }

    /// A grid line, or an axis if `strong`.
    pub fn rule(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), strong: bool) {
        let opacity = if strong { ".7" } else { ".18" };
        let _ = writeln!(
            self.body,
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"currentColor\" stroke-opacity=\"{opacity}\"/>"
        );
    }

    /// The SVG of the chart.
    pub fn finish(self, caption: &Caption<'_>) -> String {
        format!(
            "<figure class=\"plot\"><svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" viewBox=\"0 0 {WIDTH} {:.0}\" \
             font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"currentColor\">\n<title>{}</title>\
             <desc>{}</desc>\n{}</svg></figure>\n",
            self.top,
            html::escape(caption.title),
            html::escape(caption.description),
            self.body
        )
    }
}

fn closed_with_tooltip(element: &str, words: &str) -> String {
    if words.is_empty() { "/>\n".into() } else { format!("><title>{}</title></{element}>\n", html::escape(words)) }
}

/// Approximate width of a text.
pub fn width(text: &str) -> f64 {
    text.chars().count() as f64 * CHARACTER
}

/// A label of at most [`LABEL`] characters. The tooltip has the full text.
pub fn shortened(text: &str) -> String {
    if text.chars().count() <= LABEL {
        return text.to_owned();
    }
    text.chars().take(LABEL - 1).chain(['…']).collect()
}

/// Width of the widest label.
pub fn widest<'t>(labels: impl IntoIterator<Item = &'t str>) -> f64 {
    labels.into_iter().map(|label| width(&shortened(label))).fold(0.0, f64::max)
}
