//! Pictures: latency by percentile, memory over time.

use std::path::Path;

use plotters::{coord::Shift, prelude::*};
use resvg::{tiny_skia, usvg};

use super::{memory::Sample, stage::Measured};

const SIZE: (u32, u32) = (1200, 700);
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(213, 94, 0),
    RGBColor(86, 180, 233),
    RGBColor(90, 90, 90),
    RGBColor(160, 150, 20),
];

struct Chart {
    title: &'static str,
    x: &'static str,
    y: &'static str,
    x_range: (f64, f64),
    y_range: (f64, f64),
    x_label: fn(&f64) -> String,
    y_label: fn(&f64) -> String,
    lines: Vec<(String, Vec<(f64, f64)>)>,
}

/// Each axis by its magnitude: 90, 99, 99.9 percent stand at equal distances, and so do 1, 10, 100 milliseconds.
pub fn latencies(folder: &Path, stages: &[Measured]) {
    let line = |measured: &Measured| {
        let points = (0..=160).map(|step| {
            let nines = f64::from(step) / 40.0;
            let percentile = 100.0 * (1.0 - 10_f64.powf(-nines));
            (nines, measured.percentile(percentile).max(0.001).log10())
        });
        (measured.name(), points.collect::<Vec<_>>())
    };
    let lines: Vec<_> = stages.iter().map(line).collect();
    let heights = || lines.iter().flat_map(|(_, points)| points).map(|(_, y)| *y);
    let y_range = (heights().fold(f64::MAX, f64::min).floor(), heights().fold(f64::MIN, f64::max).ceil());
    Chart {
        title: "Latency of renewals",
        x: "percentile",
        y: "milliseconds",
        x_range: (0.0, 4.0),
        y_range,
        x_label: |nines| {
            format!("{:.4}", 100.0 * (1.0 - 10_f64.powf(-nines))).trim_end_matches('0').trim_end_matches('.').to_owned()
        },
        y_label: |magnitude| {
            format!("{:.3}", 10_f64.powf(*magnitude)).trim_end_matches('0').trim_end_matches('.').to_owned()
        },
        lines,
    }
    .write(folder, "latency");
}

pub fn memory(folder: &Path, samples: &[Sample]) {
    let Some(last) = samples.last() else { return };
    let of = |server| {
        let own = samples.iter().filter(move |sample| sample.server == server);
        (format!("server {server}"), own.map(|sample| (sample.seconds, sample.mib)).collect())
    };
    let most = samples.iter().map(|sample| sample.mib).fold(0.0, f64::max);
    Chart {
        title: "Resident memory of the server",
        x: "seconds",
        y: "MiB",
        x_range: (0.0, last.seconds),
        y_range: (0.0, most * 1.2),
        x_label: |seconds| format!("{seconds:.0}"),
        y_label: |mib| format!("{mib:.0}"),
        lines: (1..=last.server).map(of).collect(),
    }
    .write(folder, "memory");
}

impl Chart {
    fn write(&self, folder: &Path, name: &str) {
        let mut svg = String::new();
        self.draw(&SVGBackend::with_string(&mut svg, SIZE).into_drawing_area());
        std::fs::write(folder.join(format!("{name}.svg")), &svg).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), rendered(&svg)).unwrap();
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) {
        area.fill(&WHITE).unwrap();
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, ("sans-serif", 26))
            .margin(16)
            .x_label_area_size(48)
            .y_label_area_size(72)
            .build_cartesian_2d(self.x_range.0..self.x_range.1, self.y_range.0..self.y_range.1)
            .unwrap();
        chart
            .configure_mesh()
            .x_desc(self.x)
            .y_desc(self.y)
            .x_labels(5)
            .x_label_formatter(&self.x_label)
            .y_label_formatter(&self.y_label)
            .label_style(("sans-serif", 16))
            .light_line_style(WHITE)
            .draw()
            .unwrap();
        for ((name, points), colour) in self.lines.iter().zip(COLOURS.into_iter().cycle()) {
            let line = LineSeries::new(points.iter().copied(), colour.stroke_width(2));
            chart
                .draw_series(line)
                .unwrap()
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE)
            .border_style(BLACK.mix(0.3))
            .label_font(("sans-serif", 16))
            .draw()
            .unwrap();
        area.present().unwrap();
    }
}

/// As PNG, with a font of our own: the machine may have none.
fn rendered(svg: &str) -> Vec<u8> {
    let mut options = usvg::Options::default();
    let fonts = options.fontdb_mut();
    fonts.load_font_data(epaint_default_fonts::UBUNTU_LIGHT.to_vec());
    let family = fonts.faces().next().expect("a font").families[0].0.clone();
    fonts.set_sans_serif_family(family);
    let tree = usvg::Tree::from_str(svg, &options).unwrap();
    let mut pixels = tiny_skia::Pixmap::new(SIZE.0, SIZE.1).unwrap();
    resvg::render(&tree, tiny_skia::Transform::default(), &mut pixels.as_mut());
    pixels.encode_png().unwrap()
}
