//! Bars as SVG, light and dark.

use std::fmt::Write;

/// One bar.
pub struct Bar {
    pub label: String,
    pub value: f64,
    /// What is written beside it.
    pub text: String,
    /// Whether it is Latchkey's own.
    pub is_ours: bool,
}

const WIDTH: f64 = 720.0;
const LABEL: f64 = 240.0;
const TEXT: f64 = 130.0;
const ROW: f64 = 26.0;
const TOP: f64 = 40.0;

/// Horizontal bars from zero, the longest as long as there is room.
pub fn bars(title: &str, bars: &[Bar]) -> String {
    let longest = bars.iter().map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
    let height = TOP + ROW * bars.len() as f64 + 10.0;
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif" font-size="13">
<style>text{{fill:#24292f}}.ours{{fill:#0969da}}.theirs{{fill:#8c959f}}@media(prefers-color-scheme:dark){{text{{fill:#e6edf3}}}}</style>
<text x="0" y="20" font-size="15" font-weight="600">{}</text>
"##,
        escape(title)
    );
    for (number, bar) in bars.iter().enumerate() {
        let y = TOP + ROW * number as f64;
        let length = (WIDTH - LABEL - TEXT) * bar.value / longest;
        let class = if bar.is_ours { "ours" } else { "theirs" };
        let middle = y + ROW / 2.0 + 2.0;
        let (label, text) = (escape(&bar.label), escape(&bar.text));
        writeln!(
            svg,
            r#"<text x="{:.0}" y="{middle:.0}" text-anchor="end">{label}</text><rect class="{class}" x="{LABEL}" y="{:.0}" width="{length:.1}" height="{:.0}" rx="2"/><text x="{:.1}" y="{middle:.0}">{text}</text>"#,
            LABEL - 8.0,
            y + 2.0,
            ROW - 8.0,
            LABEL + length + 6.0,
        )
        .unwrap();
    }
    svg.push_str("</svg>\n");
    svg
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_value_and_texts_are_escaped() {
        let bar = |value| Bar { label: "a < b".into(), value, text: "x & y".into(), is_ours: true };
        let svg = bars("title", &[bar(1.0), bar(2.0)]);
        assert!(svg.contains(r#"width="175.0""#) && svg.contains(r#"width="350.0""#), "{svg}");
        assert!(svg.contains("a &lt; b") && svg.contains("x &amp; y"));
    }
}
