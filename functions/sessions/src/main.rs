//! Composition root.

use latchkey_token::routes::Function;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let service = latchkey_token_function::verifying_service().await?;
    latchkey_token_lambda::lambda::run(Function::Sessions, |request| sessions::handle(&service, request)).await
}
