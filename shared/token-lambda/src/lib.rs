#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod lambda;
pub mod request;
pub mod response;
mod service;
pub mod settings;
pub mod system;
pub mod telemetry;

pub use lambda_http::{Body, Request, Response};

pub use self::service::{Service, prepare, within_deadline};
