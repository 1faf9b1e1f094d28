//! What a million renewals cost, from what was counted and a file of list prices.

use serde::Deserialize;

/// `prices.json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Prices {
    pub as_of: String,
    http_api_million_requests: f64,
    lambda_million_requests: f64,
    lambda_gb_second_arm64: f64,
    dynamodb_million_write_units: f64,
    dynamodb_million_read_units: f64,
    cloudwatch_logs_gb: f64,
    secrets_manager_ten_thousand_requests: f64,
    pub assumptions: Assumptions,
    platform_log_lines: PlatformLogLines,
}

/// What a test cannot measure on one machine.
#[derive(Clone, Debug, Deserialize)]
pub struct Assumptions {
    pub dynamodb_milliseconds: u64,
    pub secrets_manager_milliseconds: u64,
    pub cold_starts_per_renewal: f64,
}

#[derive(Clone, Debug, Deserialize)]
struct PlatformLogLines {
    billed_bytes_per_line: u64,
    lines: Vec<String>,
}

/// One renewal, as it was counted.
#[derive(Clone, Copy, Debug)]
pub struct Renewal {
    pub memory_megabytes: u64,
    /// Warm, as Lambda bills it: whole milliseconds.
    pub warm_milliseconds: u64,
    /// A cold start's, the initialisation included.
    pub cold_milliseconds: u64,
    pub write_units: f64,
    pub read_units: f64,
    /// What the function itself has logged.
    pub log_bytes: u64,
    pub log_lines: u64,
    /// Requests to Secrets Manager at a cold start.
    pub secrets_at_start: f64,
}

/// The price of a million of them, part by part, in US dollars.
#[derive(Clone, Copy, Debug)]
pub struct Price {
    pub http_api: f64,
    pub lambda_requests: f64,
    pub lambda_duration: f64,
    pub dynamodb: f64,
    pub logs: f64,
    pub secrets: f64,
}

impl Price {
    pub fn total(&self) -> f64 {
        self.http_api + self.lambda_requests + self.lambda_duration + self.dynamodb + self.logs + self.secrets
    }
}

impl Prices {
    pub fn read() -> Self {
        serde_json::from_str(include_str!("../prices.json")).expect("prices.json")
    }

    pub fn of_a_million(&self, renewal: &Renewal) -> Price {
        let cold = self.assumptions.cold_starts_per_renewal;
        let milliseconds = renewal.warm_milliseconds as f64 * (1.0 - cold) + renewal.cold_milliseconds as f64 * cold;
        let gigabyte_seconds = renewal.memory_megabytes as f64 / 1024.0 * milliseconds / 1000.0 * 1e6;
        let platform = &self.platform_log_lines;
        let bytes = renewal.log_bytes + platform.lines.iter().map(|line| line.len() as u64).sum::<u64>();
        let lines = renewal.log_lines + platform.lines.len() as u64;
        let logged = (bytes + lines * platform.billed_bytes_per_line) as f64 * 1e6 / f64::from(1 << 30);
        Price {
            http_api: self.http_api_million_requests,
            lambda_requests: self.lambda_million_requests,
            lambda_duration: gigabyte_seconds * self.lambda_gb_second_arm64,
            dynamodb: renewal.write_units * self.dynamodb_million_write_units
                + renewal.read_units * self.dynamodb_million_read_units,
            logs: logged * self.cloudwatch_logs_gb,
            secrets: renewal.secrets_at_start * cold * 1e6 / 1e4 * self.secrets_manager_ten_thousand_requests,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_counted_once() {
        let renewal = Renewal {
            memory_megabytes: 1024,
            warm_milliseconds: 10,
            cold_milliseconds: 110,
            write_units: 2.0,
            read_units: 0.0,
            log_bytes: 0,
            log_lines: 0,
            secrets_at_start: 2.0,
        };
        let prices = Prices::read();
        let price = prices.of_a_million(&renewal);
        // 11 ms on average, of one gigabyte.
        assert!((price.lambda_duration - 11_000.0 * prices.lambda_gb_second_arm64).abs() < 1e-9);
        assert!((price.dynamodb - 2.0 * prices.dynamodb_million_write_units).abs() < 1e-9);
        assert!((price.secrets - 0.1).abs() < 1e-9);
        let parts =
            [price.http_api, price.lambda_requests, price.lambda_duration, price.dynamodb, price.logs, price.secrets];
        assert!((price.total() - parts.iter().sum::<f64>()).abs() < 1e-9);
    }
}
