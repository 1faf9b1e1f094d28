//! Which invocation a request came by.

/// What the host knows of a request. Every host sets it as a request extension.
#[derive(Clone, Debug, Default)]
pub struct Invocation {
    /// Lambda's request id; unique for each invocation.
    pub request_id: String,
    /// API Gateway's: the one in its access log and in its answer's header `apigw-requestid`.
    pub api_request_id: Option<String>,
    /// The caller's IP address, as the host sees it.
    pub source_ip: Option<String>,
}
