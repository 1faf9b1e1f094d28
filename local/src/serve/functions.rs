//! The functions as the local server runs them.

use std::sync::Arc;

use authorize::SignIns;
use authorizer::Authorizer;
use discovery::Discovery;
use latchkey_token_aws::{CachedDocuments, DynamoDbSessions};
use latchkey_token_lambda::Service;

use super::{client::ClientPage, mcp::McpGateway, playground::Playground, portal::Portal};

/// The functions as the local server composes them: the same handlers, the same DynamoDB code as in Lambda.
pub(super) struct Functions {
    pub tokens: Service<DynamoDbSessions, Arc<CachedDocuments>>,
    pub discovery: Discovery<Arc<CachedDocuments>>,
    pub authorizer: Authorizer<DynamoDbSessions, Arc<CachedDocuments>>,
    pub sign_ins: SignIns<Arc<CachedDocuments>>,
    pub playground: Playground,
    pub portal: Portal,
    pub client: ClientPage,
    pub mcp: McpGateway,
}
