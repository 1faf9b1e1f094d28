//! All parts of a run, as rows beside their targets.

use std::{fmt::Write, path::Path};

use serde_json::{Value, json};

use crate::{
    plot::{Bar, bars},
    prices::Prices,
    serving::CONNECTIONS,
};

/// What was aimed at.
enum Target {
    AtMost(f64),
    AtLeast(f64),
}

struct Row {
    what: String,
    measured: f64,
    unit: &'static str,
    target: Target,
}

impl Row {
    fn is_met(&self) -> bool {
        match self.target {
            Target::AtMost(most) => self.measured <= most,
            Target::AtLeast(least) => self.measured >= least,
        }
    }

    fn number(value: f64) -> String {
        if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") }
    }

    fn target(&self) -> String {
        match self.target {
            Target::AtMost(most) => format!("≤ {}{}", Self::number(most), self.unit),
            Target::AtLeast(least) => format!("≥ {}{}", Self::number(least), self.unit),
        }
    }
}

/// A part of the run; null where it has not been run, or could not be.
fn part(folder: &Path, name: &str) -> Value {
    let file = folder.join(format!("{name}.json"));
    std::fs::read_to_string(file).map_or(Value::Null, |text| serde_json::from_str(&text).unwrap())
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

/// Writes `report.json`, `report.md` and the plots into `folder`, from the parts that are there.
pub fn write(folder: &Path) -> String {
    let parts: Vec<_> = ["machine", "cold", "memory", "warm", "requests", "sizes", "server", "sign-in"]
        .into_iter()
        .map(|name| (name.to_owned(), part(folder, name)))
        .collect();
    let all: Value = parts.into_iter().collect::<serde_json::Map<_, _>>().into();
    let rows = rows(&all);
    let mut text = format!("{}\n\n", all["machine"]["text"].as_str().unwrap_or_default());
    text.push_str("| what | measured | target | |\n| --- | ---: | ---: | --- |\n");
    for row in &rows {
        let verdict = if row.is_met() { "met" } else { "**missed**" };
        let (measured, target) = (Row::number(row.measured), row.target());
        writeln!(text, "| {} | {measured}{} | {target} | {verdict} |", row.what, row.unit).unwrap();
    }
    for section in [cold, warm, server, sign_in, sizes, price, requests, memory] {
        if let Some(section) = section(&all) {
            writeln!(text, "\n{section}").unwrap();
        }
    }
    let json_rows: Vec<_> = rows
        .iter()
        .map(|row| {
            json!({
                "what": row.what, "measured": row.measured, "unit": row.unit.trim(), "target": row.target(),
                "met": row.is_met(),
            })
        })
        .collect();
    let report = json!({"rows": json_rows, "parts": all});
    std::fs::write(folder.join("report.json"), serde_json::to_string_pretty(&report).unwrap()).unwrap();
    std::fs::write(folder.join("report.md"), &text).unwrap();
    for (name, svg) in plots(&all) {
        std::fs::write(folder.join(name), svg).unwrap();
    }
    text
}

fn rows(all: &Value) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut row = |what: &str, measured: f64, unit: &'static str, target: Target| {
        // A part that has not been run says nothing.
        if !measured.is_nan() {
            rows.push(Row { what: what.to_owned(), measured, unit, target });
        }
    };
    let start = |name: &str| number(&all["cold"]["functions"][name]["total"]["p50_ms"]);
    row("cold start, `renew` ÷ bare `hello`", start("renew") / start("hello"), "", Target::AtMost(1.5));
    row("cold start, Node.js ÷ `renew`", start("node-renew") / start("renew"), "", Target::AtLeast(8.0));
    let warm = &all["warm"]["RS256"];
    row("renewal beyond store and signature, RS256", number(&warm["overhead_us"]), " µs", Target::AtMost(150.0));
    row("renewal ÷ (store call + one signature), RS256", number(&warm["ratio"]), "", Target::AtMost(1.15));
    for (algorithm, least) in [("RS256", 1.5), ("ES256", 2.0)] {
        let server = &all["server"][algorithm];
        let ratio = number(&server["durable"]["per_second"]) / number(&server["oidc_provider"]["per_second"]);
        row(&format!("local server ÷ oidc-provider, {algorithm}"), ratio, "", Target::AtLeast(least));
    }
    let of_all = |what: &str| {
        let functions = all["memory"].as_object().into_iter().flatten();
        functions.map(|(_, function)| number(&function[what])).fold(f64::NAN, f64::max) / f64::from(1 << 20)
    };
    row("peak memory of any function after 10,000 invocations", of_all("peak_resident"), " MB", Target::AtMost(32.0));
    row("largest zip of any function", of_all("zip"), " MB", Target::AtMost(4.0));
    for (request, most) in [("issue", 1.0), ("renewal", 1.0), ("authorize", 0.0), ("accept", 1.0), ("exchange", 1.0)] {
        let counts = &all["requests"][request];
        let requests = counts["operations"].as_object().map_or(f64::NAN, |all| all.values().map(number).sum());
        row(&format!("DynamoDB requests, {request}"), requests, "", Target::AtMost(most));
        row(&format!("DynamoDB write units, {request}"), number(&counts["write_units"]), "", Target::AtMost(most));
        row(&format!("DynamoDB read units, {request}"), number(&counts["read_units"]), "", Target::AtMost(0.0));
    }
    let price = number(&all["sizes"]["default"]["price"]["total"]);
    row("a million renewals, everything included", price, " USD", Target::AtMost(3.0));
    rows
}

fn milliseconds(value: &Value) -> String {
    format!("{:.1}", number(value))
}

fn cold(all: &Value) -> Option<String> {
    let functions = all["cold"]["functions"].as_object()?;
    let runs = &all["cold"]["runs"];
    let mut text = format!(
        "Cold starts, ms, {runs} of each: from the start of the process to its request for the first event, and with the \
         first answer; secrets and table on loopback.\n\n\
         | function | init p50 | p95 | with first answer p50 | p95 |\n| --- | ---: | ---: | ---: | ---: |\n"
    );
    for (name, times) in functions {
        let cell = |what: &str, share: &str| milliseconds(&times[what][share]);
        let cells = [cell("init", "p50_ms"), cell("init", "p95_ms"), cell("total", "p50_ms"), cell("total", "p95_ms")];
        writeln!(text, "| {name} | {} |", cells.join(" | ")).unwrap();
    }
    Some(text)
}

fn warm(all: &Value) -> Option<String> {
    let algorithms = all["warm"].as_object()?;
    let mut text =
        "A warm renewal inside the function, µs; the store answers at once in the SDK's connector, so that its \
                    part is the SDK's own work.\n\n\
                    | algorithm | p50 | p99 | store p50 | signature p50 | the rest | ratio | instructions |\n\
                    | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
            .to_owned();
    for (name, times) in algorithms {
        let micros = |what: &str, share: &str| format!("{:.0}", number(&times[what][share]) * 1000.0);
        let instructions = times["instructions"].as_u64().map_or("–".to_owned(), |count| count.to_string());
        writeln!(
            text,
            "| {name} | {} | {} | {} | {} | {:.0} | {:.2} | {instructions} |",
            micros("whole", "p50_ms"),
            micros("whole", "p99_ms"),
            micros("store", "p50_ms"),
            micros("signature", "p50_ms"),
            number(&times["overhead_us"]),
            number(&times["ratio"]),
        )
        .unwrap();
    }
    Some(text)
}

fn server(all: &Value) -> Option<String> {
    let algorithms = all["server"].as_object()?;
    let mut text = format!(
        "Renewals per second at {CONNECTIONS} connections, access and ID token signed, {} cores for client and server together.\n\n\
         | algorithm | server | per second | p50 ms | p99 ms |\n| --- | --- | ---: | ---: | ---: |\n",
        all["machine"]["cores"]
    );
    for (algorithm, servers) in algorithms {
        for (name, label) in SERVERS {
            let server = &servers[name];
            let per_second = number(&server["per_second"]);
            let (p50, p99) = (&server["latency"]["p50_ms"], &server["latency"]["p99_ms"]);
            let (p50, p99) = (milliseconds(p50), milliseconds(p99));
            writeln!(text, "| {algorithm} | {label} | {per_second:.0} | {p50} | {p99} |").unwrap();
        }
        for (name, label) in LIMITS {
            let per_second = number(&servers["limits"][name]);
            writeln!(text, "| {algorithm} | {label} | {per_second:.0} | – | – |").unwrap();
        }
    }
    Some(text)
}

fn sign_in(all: &Value) -> Option<String> {
    let algorithms = all["sign-in"].as_object()?;
    let mut text = "From the click to the tokens, ms, without the human: the local server in a file, each leg a request over HTTP, \
                    access and ID token signed.\n\n\
                    | algorithm | p50 | p95 | `/authorize` | accept | return | exchange |\n\
                    | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        .to_owned();
    for (name, times) in algorithms {
        let cell = |what: &str, share: &str| format!("{:.2}", number(&times[what][share]));
        let legs = ["authorize", "accept", "return", "exchange"].map(|leg| cell(leg, "p50_ms")).join(" | ");
        writeln!(text, "| {name} | {} | {} | {legs} |", cell("whole", "p50_ms"), cell("whole", "p95_ms")).unwrap();
    }
    Some(text)
}

const SERVERS: [(&str, &str); 3] = [
    ("durable", "Latchkey, in a file"),
    ("memory", "Latchkey, in memory"),
    ("oidc_provider", "oidc-provider, in memory"),
];

const LIMITS: [(&str, &str); 2] =
    [("signing", "limit: both signatures alone, on all cores"), ("writing", "limit: the durable store alone")];

fn sizes(all: &Value) -> Option<String> {
    let sizes = all["sizes"]["memory"].as_array()?;
    let assumptions = Prices::read().assumptions;
    let mut text = format!(
        "`renew` by the function's memory: Lambda's share of a core after initialisation, TLS, DynamoDB answering after {} ms, \
         Secrets Manager after {} ms.\n\n\
         | MB | init ms | first renewal ms | warm renewal p50 ms | p95 | USD per million |\n\
         | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        assumptions.dynamodb_milliseconds, assumptions.secrets_manager_milliseconds
    );
    for size in sizes {
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {:.2} |",
            size["megabytes"],
            milliseconds(&size["init"]["p50_ms"]),
            milliseconds(&size["first"]["p50_ms"]),
            milliseconds(&size["warm"]["p50_ms"]),
            milliseconds(&size["warm"]["p95_ms"]),
            number(&size["price"]["total"]),
        )
        .unwrap();
    }
    Some(text)
}

fn price(all: &Value) -> Option<String> {
    let default = &all["sizes"]["default"];
    let price = default["price"].as_object()?;
    let prices = Prices::read();
    let mut text = format!(
        "A million renewals at {} MB, list prices of {}, one renewal in {:.0} on a cold start.\n\n\
         | part | USD |\n| --- | ---: |\n",
        default["megabytes"],
        prices.as_of,
        1.0 / prices.assumptions.cold_starts_per_renewal,
    );
    for (part, dollars) in price {
        writeln!(text, "| {} | {:.2} |", part.replace('_', " "), number(dollars)).unwrap();
    }
    Some(text)
}

fn requests(all: &Value) -> Option<String> {
    let requests = all["requests"].as_object()?;
    let mut text =
        "What DynamoDB bills.\n\n| | requests | write units | read units | record, bytes |\n| --- | --- | ---: | ---: | ---: |\n".to_owned();
    for (name, counts) in requests {
        let operations = counts["operations"].as_object()?;
        let operations: Vec<_> = operations.iter().map(|(name, times)| format!("{times} {name}")).collect();
        let operations = if operations.is_empty() { "none".to_owned() } else { operations.join(", ") };
        let (write_units, read_units) = (&counts["write_units"], &counts["read_units"]);
        let record = counts["item_bytes"]
            .as_u64()
            .filter(|bytes| *bytes > 0)
            .map_or("–".to_owned(), |bytes| bytes.to_string());
        writeln!(text, "| {name} | {operations} | {write_units} | {read_units} | {record} |").unwrap();
    }
    Some(text)
}

fn memory(all: &Value) -> Option<String> {
    let functions = all["memory"].as_object()?;
    let mut text =
        "Size and memory, MB.\n\n| function | stripped binary | zip | peak resident |\n| --- | ---: | ---: | ---: |\n"
            .to_owned();
    for (name, function) in functions {
        let megabytes = |what: &str| format!("{:.1}", number(&function[what]) / f64::from(1 << 20));
        writeln!(text, "| {name} | {} | {} | {} |", megabytes("binary"), megabytes("zip"), megabytes("peak_resident"))
            .unwrap();
    }
    Some(text)
}

fn plots(all: &Value) -> Vec<(&'static str, String)> {
    let mut plots = Vec::new();
    if let Some(functions) = all["cold"]["functions"].as_object() {
        let labels = [
            ("hello", "bare hello"),
            ("hello-aws", "hello, SDK started"),
            ("renew", "renew"),
            ("node-renew", "the same in Node.js"),
        ];
        let bar = |(name, label): (&str, &str)| {
            let value = number(&functions[name]["total"]["p50_ms"]);
            Bar { label: label.to_owned(), value, text: format!("{value:.1} ms"), is_ours: name == "renew" }
        };
        plots.push(("cold-start.svg", bars("Cold start with the first answer, median", &labels.map(bar))));
    }
    if let Some(algorithms) = all["server"].as_object() {
        let mut all_bars = Vec::new();
        for (algorithm, servers) in algorithms {
            for (name, label) in SERVERS {
                let value = number(&servers[name]["per_second"]);
                let text = format!("{value:.0} /s");
                all_bars.push(Bar {
                    label: format!("{algorithm}: {label}"),
                    value,
                    text,
                    is_ours: name != "oidc_provider",
                });
            }
        }
        let title = format!("Renewals per second, {CONNECTIONS} connections, {} cores", all["machine"]["cores"]);
        plots.push(("renewals-per-second.svg", bars(&title, &all_bars)));
    }
    if let Some(sizes) = all["sizes"]["memory"].as_array() {
        let bar = |size: &Value| {
            let value = number(&size["price"]["total"]);
            let warm = number(&size["warm"]["p50_ms"]);
            let text = format!("{value:.2} USD, {warm:.0} ms");
            Bar { label: format!("{} MB", size["megabytes"]), value, text, is_ours: true }
        };
        let all_bars: Vec<_> = sizes.iter().map(bar).collect();
        plots.push((
            "price.svg",
            bars("A million renewals by the function's memory, and the median renewal", &all_bars),
        ));
    }
    plots
}
