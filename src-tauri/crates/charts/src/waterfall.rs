//! A Shapley waterfall: from the base value, feature by feature, to the prediction, with the error of each attribution.
//!
//! What must stay true: bars join without a gap, so the picture shows that the attributions sum to prediction − base; the
//! features left out are one bar of their own.

use plotters_backend::text_anchor::HPos;

use crate::axis::{drawable, with_minus};
use crate::error::ChartError;
use crate::frame::{PlotArea, SMALL, Sheet, picture};
use crate::theme::with_alpha;
use crate::{Format, Size, Theme, text};

/// Font size of feature labels, in pixels.
const LABEL: f64 = 12.0;
/// Font size of the numbers beside the bars.
const NUMBER: f64 = 11.5;
/// Height of a row, where there is room.
const ROW: f64 = 34.0;
/// Room above the rows for the name of the base value, and below for that of the prediction.
const END: f64 = 22.0;

/// What a waterfall shows.
#[derive(Debug, Clone, PartialEq)]
pub struct WaterfallChart {
    /// The expected prediction over the background.
    pub base_value: f64,
    /// The prediction that is explained.
    pub prediction: f64,
    /// Every feature's attribution, in any order.
    pub contributions: Vec<Contribution>,
    /// How many features have a bar of their own; the others share one.
    pub top: usize,
}

/// One feature's attribution.
#[derive(Debug, Clone, PartialEq)]
pub struct Contribution {
    /// The feature's name. Untrusted.
    pub feature: String,
    /// Its value in the explained row, as text. Untrusted.
    pub value: String,
    /// The attribution.
    pub attribution: f64,
    /// Lower end of the attribution's interval; equal to it when it is exact.
    pub low: f64,
    /// Upper end of the attribution's interval.
    pub high: f64,
}

/// One bar.
struct Step {
    name: String,
    /// ` = value`, or nothing for the bar of the other features.
    value: String,
    from: f64,
    to: f64,
    /// Ends of the interval on the axis; `None` when the attribution is exact.
    interval: Option<(f64, f64)>,
    number: String,
}

/// Draws the waterfall, greatest attribution first: positive ones in `ok`, negative ones in `bad`.
pub fn render(data: &WaterfallChart, size: Size, theme: &Theme, format: Format) -> Result<Vec<u8>, ChartError> {
    picture(size, theme, format, |sheet| {
        let decimals = decimals_for(data);
        let steps = steps(data, decimals);
        let (width, height) = (f64::from(size.width), f64::from(size.height));
        let widest_number = steps.iter().map(|step| text::width(&step.number, NUMBER)).fold(40.0, f64::max);
        let labels = steps
            .iter()
            .map(|step| text::width(&step.name, LABEL) + text::width(&step.value, LABEL))
            .fold(0.0, f64::max)
            .min(width * 0.34);
        let row = ((height - 2.0 * END) / steps.len().max(1) as f64).clamp(1.0, ROW);
        let area = PlotArea {
            left: labels + 24.0,
            right: (width - widest_number - 16.0).max(labels + 40.0),
            top: END,
            bottom: END + row * steps.len() as f64,
        };
        let (least, greatest) = range(data, &steps);
        let plot = sheet.plot((least, greatest), (0.0, 1.0), area);
        let x = |value: f64| {
            f64::from(plot.map_coordinate(&(value.max(least).min(greatest), 0.0)).0) / crate::canvas::UNITS
        };

        let ends = [("base", data.base_value, area.top - 9.0), ("prediction", data.prediction, area.bottom + 16.0)];
        for (name, value, baseline) in ends {
            draw_end(sheet, area, x(value), &format!("{name} {}", with_minus(value, decimals)), baseline)?;
        }
        for (index, step) in steps.iter().enumerate() {
            let top = area.top + row * index as f64;
            draw_step(sheet, step, &x, (top, row), labels, index + 1 < steps.len())?;
        }
        Ok(())
    })
}

fn draw_step(
    sheet: &Sheet<'_>,
    step: &Step,
    x: &impl Fn(f64) -> f64,
    (top, row): (f64, f64),
    labels: f64,
    joined: bool,
) -> Result<(), ChartError> {
    let palette = sheet.palette;
    let (bar_top, bar_bottom) = (top + row * 0.2, top + row * 0.8);
    let middle = top + row * 0.5;
    let (from, to) = (x(step.from), x(step.to));
    let colour = with_alpha(if step.to < step.from { palette.bad } else { palette.ok }, 0.85);
    if joined {
        sheet.line((to, bar_bottom), (to, top + row * 1.2), with_alpha(palette.unknown, 0.45), 1.0)?;
    }
    let (left, right) = (from.min(to), from.max(to).max(from.min(to) + 1.0));
    sheet.bar((left, bar_top), (right, bar_bottom), 2f64.min((right - left) / 2.0), colour)?;
    let mut text_from = right;
    if let Some((low, high)) = step.interval {
        let (low, high, cap) = (x(low), x(high), (row * 0.12).min(4.0));
        sheet.line((low, middle), (high, middle), palette.ink, 1.2)?;
        for end in [low, high] {
            sheet.line((end, middle - cap), (end, middle + cap), palette.ink, 1.2)?;
        }
        text_from = text_from.max(high);
    }
    // A long name gives way before the value does, which tells two alike names apart.
    let value = text::fit(&step.value, LABEL, labels * 0.5);
    let label = text::fit(&step.name, LABEL, labels - text::width(&value, LABEL)) + &value;
    sheet.text(&label, (labels + 8.0, middle + LABEL * 0.36), LABEL, HPos::Right, palette.ink)?;
    sheet.text(&step.number, (text_from + 10.0, middle + NUMBER * 0.36), NUMBER, HPos::Left, palette.muted)
}

/// A quiet line over all rows at the base value or the prediction, named at its end.
fn draw_end(sheet: &Sheet<'_>, area: PlotArea, x: f64, name: &str, baseline: f64) -> Result<(), ChartError> {
    let palette = sheet.palette;
    sheet.line((x, area.top - 4.0), (x, area.bottom + 4.0), palette.grid, 1.0)?;
    let half = text::width(name, SMALL) / 2.0;
    let centre = x.min(sheet.width() - half - 2.0).max(half + 2.0);
    sheet.text(name, (centre, baseline), SMALL, HPos::Center, palette.ink)
}

/// The bars: the top features by absolute attribution, then the others as one.
fn steps(data: &WaterfallChart, decimals: usize) -> Vec<Step> {
    let mut order: Vec<&Contribution> =
        data.contributions.iter().filter(|c| drawable(c.attribution).is_some()).collect();
    order.sort_by(|a, b| b.attribution.abs().total_cmp(&a.attribution.abs()));
    // One feature left over takes as much room by its own name as by "1 other feature".
    let own = if order.len() == data.top + 1 { order.len() } else { data.top.min(order.len()) };
    let (shown, others) = order.split_at(own);
    let mut at = data.base_value;
    let mut push = |name: String, value: String, attribution: f64, below: f64, above: f64| {
        let from = at;
        at += attribution;
        let half = f64::midpoint(below, above);
        let exact = half.is_nan() || half <= 0.0;
        let sign = if attribution < 0.0 { "−" } else { "+" };
        let size = format!("{sign}{:.decimals$}", attribution.abs());
        Step {
            name,
            value,
            from,
            to: at,
            interval: (!exact).then_some((at - below, at + above)),
            number: if exact { size } else { format!("{size} ± {half:.decimals$}") },
        }
    };
    let mut steps: Vec<Step> = shown
        .iter()
        .map(|c| {
            let (name, value) = (text::clean(&c.feature), format!(" = {}", text::clean(&c.value)));
            push(name, value, c.attribution, (c.attribution - c.low).max(0.0), (c.high - c.attribution).max(0.0))
        })
        .collect();
    if !others.is_empty() {
        let total = others.iter().map(|c| c.attribution).sum();
        // Half widths add as independent errors do.
        let half = others.iter().map(|c| ((c.high - c.low) / 2.0).powi(2)).sum::<f64>().sqrt();
        steps.push(push(format!("{} other features", others.len()), String::new(), total, half, half));
    }
    steps
}

/// The values that the axis must hold, with a little room at both ends.
fn range(data: &WaterfallChart, steps: &[Step]) -> (f64, f64) {
    let bars = steps.iter().flat_map(|step| [step.from, step.to]);
    let intervals = steps.iter().filter_map(|step| step.interval).flat_map(|(low, high)| [low, high]);
    let values = bars.chain(intervals).chain([data.base_value, data.prediction]).filter_map(drawable);
    let (least, greatest) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    let pad = ((greatest - least) * 0.02).max(1e-9);
    if least <= greatest { (least - pad, greatest + pad) } else { (0.0, 1.0) }
}

/// Decimals that show the greatest attribution with three digits.
fn decimals_for(data: &WaterfallChart) -> usize {
    let finite = data.contributions.iter().filter_map(|c| drawable(c.attribution.abs()));
    let greatest = finite.fold(0.0, f64::max);
    if greatest == 0.0 { 3 } else { (2.0 - greatest.log10().floor()).clamp(0.0, 6.0) as usize }
}
