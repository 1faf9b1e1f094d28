//! The report as a page: plots as SVG, everything in one file, no network.

use std::{
    collections::BTreeMap,
    fmt::{Display, Write},
};

use latchkey_token::{audit::EventKind, values::Timestamp};
use plotters::{
    chart::MeshStyle,
    coord::{
        Shift,
        ranged1d::{Ranged, ValueFormatter},
    },
    prelude::{
        ChartBuilder, Color, DrawingArea, IntoDrawingArea, IntoSegmentedCoord, RGBColor, Rectangle, SVGBackend,
        SegmentValue,
    },
    style::{ShapeStyle, colors::TRANSPARENT},
};

use super::report::Report;
use crate::inspect::duration;

/// Stand for the page's own colours, which differ in light and dark: report.css replaces them.
const INK: RGBColor = RGBColor(1, 1, 1);
const GRID: RGBColor = RGBColor(2, 2, 2);
const BAR: RGBColor = RGBColor(74, 127, 212);

const WIDTH: u32 = 960;
const STYLE: &str = include_str!("report.css");
/// Bars of time, and of remaining life: no more than this many, and as wide as the first of these that allows it.
const MAX_BARS: i64 = 48;
const BAR_SECONDS: [i64; 12] = [1, 5, 15, 60, 300, 900, 3_600, 7_200, 21_600, 86_400, 604_800, 2_592_000];
/// Reasons in the plot; the table has all of them.
const MAX_REASONS: usize = 12;

/// Each event's colour, as good on white as on black.
const fn colour(kind: EventKind) -> RGBColor {
    match kind {
        EventKind::SignInStarted => RGBColor(170, 190, 120),
        EventKind::SignInAccepted => RGBColor(120, 165, 60),
        EventKind::SignInRejected => RGBColor(190, 145, 95),
        EventKind::TokenIssued => RGBColor(43, 150, 110),
        EventKind::TokenRenewed => RGBColor(74, 127, 212),
        EventKind::TokenRetried => RGBColor(98, 178, 222),
        EventKind::TokenExchanged => RGBColor(70, 150, 190),
        EventKind::TokenExpired => RGBColor(140, 140, 150),
        EventKind::SessionRevoked => RGBColor(140, 105, 200),
        EventKind::KeysRotated => RGBColor(60, 165, 165),
        EventKind::RenewalRejected => RGBColor(214, 160, 40),
        EventKind::ClientRejected => RGBColor(216, 124, 50),
        EventKind::AccessDenied => RGBColor(160, 120, 85),
        EventKind::ReuseDetected => RGBColor(214, 50, 60),
        EventKind::StateMismatch => RGBColor(205, 70, 150),
        EventKind::ClientRegistered => RGBColor(70, 150, 150),
        EventKind::DocumentFault => RGBColor(120, 60, 60),
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The page, complete; `now` is when it was made.
pub(super) fn page(report: &Report, now: Timestamp) -> Result<String, String> {
    let mut page = String::new();
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>Latchkey: audit report</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>Audit report</h1>\n<p>{}.</p>\n",
        escaped(&report.summary())
    );
    if let Some(left_out) = report.left_out() {
        let _ = writeln!(page, "<p>{}.</p>", escaped(&left_out));
    }
    if let Some(plot) = events_over_time(report)? {
        section(&mut page, "Events over time (UTC)", &plot);
    }
    let events = report.events_in_order();
    table(&mut page, ["Event", "Count"], events.iter().map(|(name, count)| [swatch(name), count.to_string()]));
    if let Some(plot) = reasons(report)? {
        section(&mut page, "Reasons", &plot);
        let rows = report.reasons_by_count();
        let rows = rows.iter().map(|(event, reason, count)| [swatch(event), escaped(reason), count.to_string()]);
        table(&mut page, ["Event", "Reason", "Count"], rows);
    }
    if let Some(plot) = life_left(report)? {
        section(&mut page, "How much of the access token's life was left at renewal", &plot);
        page.push_str("<p>Below zero: expired, and renewed within the grace period.</p>\n");
    }
    if !report.clients.is_empty() {
        page.push_str("<h2>Clients</h2>\n");
        let clients = report.clients.iter().map(|(client, count)| [escaped(client), count.to_string()]);
        table(&mut page, ["Client", "Events"], clients);
    }
    let _ = write!(
        page,
        "<footer>Made by <code>latchkey audit report</code> at {now}.</footer>\n</main>\n</body>\n</html>\n"
    );
    Ok(page)
}

fn section(page: &mut String, heading: &str, plot: &str) {
    let _ = write!(page, "<h2>{heading}</h2>\n<figure role=\"img\" aria-label=\"{heading}\">\n{plot}\n</figure>\n");
}

/// Cells are HTML already; the last column is numbers.
fn table<const N: usize>(page: &mut String, heading: [&str; N], rows: impl Iterator<Item = [String; N]>) {
    let heading = heading.map(|cell| format!("<th scope=\"col\">{cell}</th>")).concat();
    let _ = write!(page, "<table>\n<thead><tr>{heading}</tr></thead>\n<tbody>\n");
    for row in rows {
        let _ = writeln!(page, "<tr>{}</tr>", row.map(|cell| format!("<td>{cell}</td>")).concat());
    }
    page.push_str("</tbody>\n</table>\n");
}

/// An event's name with its colour in front.
fn swatch(event: &str) -> String {
    let RGBColor(r, g, b) = EventKind::ALL.into_iter().find(|kind| kind.name() == event).map_or(INK, colour);
    format!("<i style=\"background:rgb({r},{g},{b})\"></i> {}", escaped(event))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn events_over_time(report: &Report) -> Result<Option<String>, String> {
    let Some((first, last)) = report.span() else { return Ok(None) };
    let (first, last) = (first.unix_seconds(), last.unix_seconds());
    let width = bar_seconds(first, last);
    let start = first.div_euclid(width);
    let mut counts: BTreeMap<i64, [i64; EventKind::ALL.len()]> = BTreeMap::new();
    for (at, kind) in &report.moments {
        let bar = counts.entry(at.unix_seconds().div_euclid(width) - start).or_default();
        if let Some(count) = bar.get_mut(*kind) {
            *count += 1;
        }
    }
    let stack = |kinds: [i64; EventKind::ALL.len()]| EventKind::ALL.map(colour).into_iter().zip(kinds).collect();
    let bars = counts.into_iter().map(|(bar, kinds)| (bar, stack(kinds))).collect();
    let label = |bar: &i64| moment((bar + start) * width, width);
    histogram(320, &bars, last.div_euclid(width) - start + 1, &label).map(Some)
}

/// Bars of equal width, numbered from 0 to below `length`: each a stack of counts in their colours. `label` names a bar.
fn histogram(
    height: u32,
    bars: &BTreeMap<i64, Vec<(RGBColor, i64)>>,
    length: i64,
    label: &dyn Fn(&i64) -> String,
) -> Result<String, String> {
    let highest = bars.values().map(|stack| stack.iter().map(|(_, count)| count).sum()).max().unwrap_or(0_i64);
    plot(height, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .x_label_area_size(36)
            .y_label_area_size(56)
            .build_cartesian_2d(0..length, 0..highest + 1)
            .map_err(said)?;
        mesh(&mut chart.configure_mesh()).x_label_formatter(&label).draw().map_err(said)?;
        for (bar, stack) in bars {
            let mut base = 0;
            for (colour, count) in stack.iter().filter(|(_, count)| *count > 0) {
                let mut rectangle = Rectangle::new([(*bar, base), (bar + 1, base + count)], colour.filled());
                rectangle.set_margin(0, 0, 1, 1);
                chart.draw_series([rectangle]).map_err(said)?;
                base += count;
            }
        }
        Ok(())
    })
}

fn reasons(report: &Report) -> Result<Option<String>, String> {
    let mut rows: Vec<(&str, &str, u64)> = report.reasons_by_count().into_iter().take(MAX_REASONS).collect();
    // The axis grows upwards.
    rows.reverse();
    let Some(highest) = rows.iter().map(|(_, _, count)| *count).max() else { return Ok(None) };
    let label = |row: &SegmentValue<usize>| match row {
        SegmentValue::CenterOf(row) => rows.get(*row).map(|(_, reason, _)| shortened(reason)).unwrap_or_default(),
        SegmentValue::Exact(_) | SegmentValue::Last => String::new(),
    };
    let height = 60 + 28 * u32::try_from(rows.len()).unwrap_or_default();
    plot(height, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .x_label_area_size(36)
            .y_label_area_size(280)
            .build_cartesian_2d(0..highest + 1, (0..rows.len().max(2) - 1).into_segmented())
            .map_err(said)?;
        let mut configured = chart.configure_mesh();
        mesh(&mut configured).disable_y_mesh().y_labels(rows.len()).y_label_formatter(&label).draw().map_err(said)?;
        for (row, (event, _, count)) in rows.iter().enumerate() {
            let kind = EventKind::ALL.into_iter().find(|kind| kind.name() == *event);
            let corners = [(0, SegmentValue::Exact(row)), (*count, SegmentValue::Exact(row + 1))];
            let mut rectangle = Rectangle::new(corners, kind.map_or(BAR, colour).filled());
            rectangle.set_margin(3, 3, 0, 0);
            chart.draw_series([rectangle]).map_err(said)?;
        }
        Ok(())
    })
    .map(Some)
}

fn life_left(report: &Report) -> Result<Option<String>, String> {
    let left = || report.seconds_left.iter().copied();
    let Some((least, most)) = left().min().zip(left().max()) else { return Ok(None) };
    let width = bar_seconds(least, most);
    let start = least.div_euclid(width);
    let mut counts: BTreeMap<i64, i64> = BTreeMap::new();
    for seconds in left() {
        *counts.entry(seconds.div_euclid(width) - start).or_default() += 1;
    }
    let bars = counts.into_iter().map(|(bar, count)| (bar, vec![(BAR, count)])).collect();
    let label = |bar: &i64| match (bar + start) * width {
        past @ ..0 => format!("-{}", duration(-past)),
        left => duration(left),
    };
    histogram(240, &bars, most.div_euclid(width) - start + 1, &label).map(Some)
}

/// An SVG of the page's width, drawn by `draw`.
fn plot(height: u32, draw: impl FnOnce(&Area<'_>) -> Result<(), String>) -> Result<String, String> {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
    draw(&area)?;
    area.present().map_err(said)?;
    drop(area);
    Ok(svg)
}

/// Lines and letters in the page's colours.
fn mesh<'m, 'a, 'b, X, Y, X1, Y1>(
    mesh: &'m mut MeshStyle<'a, 'b, X, Y, SVGBackend<'a>>,
) -> &'m mut MeshStyle<'a, 'b, X, Y, SVGBackend<'a>>
where
    X: Ranged<ValueType = X1> + ValueFormatter<X1>,
    Y: Ranged<ValueType = Y1> + ValueFormatter<Y1>,
{
    let line = ShapeStyle::from(GRID).stroke_width(1);
    mesh.disable_x_mesh()
        .bold_line_style(line)
        // None at all would make the crate look for a scale without end.
        .light_line_style(TRANSPARENT)
        .max_light_lines(1)
        .axis_style(line)
        .label_style(("sans-serif", 14, &INK))
        .x_labels(8)
}

/// The width of a bar that needs no more of them than fit.
fn bar_seconds(first: i64, last: i64) -> i64 {
    let bars = |width: i64| last.div_euclid(width) - first.div_euclid(width) + 1;
    let widest = BAR_SECONDS.last().copied().unwrap_or(1);
    BAR_SECONDS
        .into_iter()
        .find(|width| bars(*width) <= MAX_BARS)
        .unwrap_or_else(|| widest * (bars(widest) / MAX_BARS + 1))
}

/// As precise as bars of `width` seconds are.
fn moment(seconds: i64, width: i64) -> String {
    let text = Timestamp::from_unix_seconds(seconds).to_string();
    let part = match width {
        ..60 => 11..19,
        60..86_400 => 5..16,
        _ => 0..10,
    };
    text.get(part).unwrap_or(&text).replace('T', " ")
}

/// A reason comes from a log, and may be of any length.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 40;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn said(error: impl Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::audit::report::of;

    fn page_of(lines: &[&str]) -> String {
        page(&of(lines), Timestamp::from_unix_seconds(1_800_000_000)).unwrap()
    }

    #[test]
    fn the_page_has_its_plots_and_tables_and_needs_nobody() {
        let page = page_of(&[
            r#"{"timestamp":"2026-01-31T09:30:00Z","event":"token_issued","client_id":"librechat"}"#,
            r#"{"timestamp":"2026-01-31T11:30:00Z","event":"token_renewed","client_id":"librechat","seconds_to_expiry":3600}"#,
            r#"{"timestamp":"2026-01-31T11:31:00Z","event":"reuse_detected","reason":"older_generation"}"#,
        ]);
        assert_eq!(page.matches("<svg").count(), 3);
        assert!(
            page.contains("older_generation") && page.contains("librechat") && page.contains("01-31 09:30"),
            "{page}"
        );
        let RGBColor(r, g, b) = colour(EventKind::ReuseDetected);
        assert!(page.contains(&format!("fill=\"#{r:02X}{g:02X}{b:02X}\"")), "theft has its colour");
        for elsewhere in ["<script", "<link", "src=", "url(", "@import"] {
            assert!(!page.contains(elsewhere), "{elsewhere}");
        }
        let addresses = page.matches("http").count();
        assert_eq!(addresses, page.matches("http://www.w3.org/2000/svg").count() + page.matches("http-equiv").count());
        for (stand_in, attribute) in [(INK, "fill"), (GRID, "stroke")] {
            let RGBColor(r, g, b) = stand_in;
            let selector = format!("[{attribute}=\"#{r:02X}{g:02X}{b:02X}\"]");
            assert!(STYLE.contains(&selector), "light and dark: {selector}");
            assert!(page.contains(selector.trim_matches(['[', ']'])), "{selector}");
        }
    }

    #[test]
    fn what_a_log_holds_is_text_on_the_page() {
        let page = page_of(&[r#"{"event":"<script>1</script>","reason":"<script>2</script>","client_id":"<b>&\"x"}"#]);
        assert!(!page.contains("<script") && !page.contains("<b>"), "{page}");
        assert!(page.contains("&lt;b&gt;&amp;&quot;x"));
    }

    #[test]
    fn a_page_of_nothing_is_a_page() {
        let page = page_of(&[]);
        assert!(page.contains("0 events") && !page.contains("<svg"), "{page}");
    }

    #[test]
    fn bars_are_as_wide_as_they_must_be() {
        assert_eq!(bar_seconds(0, 40), 1);
        assert_eq!(bar_seconds(0, 86_399), 3_600);
        assert_eq!(bar_seconds(-604_800, 86_400), 21_600);
        let years = bar_seconds(0, 3_000_000_000);
        assert!(3_000_000_000 / years < MAX_BARS);
        assert_eq!(moment(1_769_851_800, 60), "01-31 09:30");
        assert_eq!(moment(1_769_851_800, 86_400), "2026-01-31");
    }
}
