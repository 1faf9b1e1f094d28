//! Latchkey on one machine: the server that runs the Lambda handlers on an embedded DynamoDB, and the operator's
//! command line.

pub mod cli;
mod console;
pub mod inspect;
mod operator;
mod secrets;
pub mod serve;
