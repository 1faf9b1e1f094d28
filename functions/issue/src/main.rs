//! Composition root.

use latchkey_token::routes::Function;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let service = latchkey_token_function::service().await?;
    latchkey_token_lambda::lambda::run(Function::Issue, |request| issue::handle(&service, request)).await
}
