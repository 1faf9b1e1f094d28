#![doc = include_str!("../README.md")]

pub mod cors;
pub mod credentials;
pub mod lambda;
pub mod metrics;
pub mod request;
pub mod response;
pub mod service;
pub mod settings;
pub mod system;
pub mod telemetry;

pub use lambda_http::{Body, Request, Response};
pub use service::{Caller, Service};
