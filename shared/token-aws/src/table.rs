//! The session table itself, for hosts that bring their own: in AWS the template creates it.

use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType},
};
use latchkey_token::failure::Unavailable;

use crate::sdk;

/// Creates the session table if it is missing. Waits for nothing: an emulator's table is there at once.
pub async fn create_if_missing(sdk: &SdkConfig, table: &str) -> Result<(), Unavailable> {
    let failed = |error: String| Unavailable::new("session store", format!("table {table:?}: {error}"));
    let client = Client::new(sdk);
    let missing = match client.describe_table().table_name(table).send().await {
        Ok(_) => false,
        Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) => true,
        Err(error) => return Err(failed(sdk::describe(&error))),
    };
    if !missing {
        return Ok(());
    }
    let mut request = client.create_table().table_name(table).billing_mode(BillingMode::PayPerRequest);
    for (name, key_type) in [("owner", KeyType::Hash), ("sid", KeyType::Range)] {
        let attribute = AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::B);
        let key = KeySchemaElement::builder().attribute_name(name).key_type(key_type);
        request = request
            .attribute_definitions(attribute.build().map_err(|error| failed(error.to_string()))?)
            .key_schema(key.build().map_err(|error| failed(error.to_string()))?);
    }
    match request.send().await {
        Ok(_) => Ok(()),
        // Somebody else was faster.
        Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_in_use_exception()) => Ok(()),
        Err(error) => Err(failed(sdk::describe(&error))),
    }
}
