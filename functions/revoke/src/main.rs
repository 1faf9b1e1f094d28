//! Composition root.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let service = latchkey_token_function::verifying_service().await?;
    latchkey_token_lambda::lambda::run(|request| revoke::handle(&service, request)).await
}
