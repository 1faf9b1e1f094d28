//! Erasing: what an operator may do with the session table and no function may.

use latchkey_token::{failure::Unavailable, values::Owner};
use tokio::task::JoinSet;

use crate::{
    record::Item,
    store::{DynamoDbSessions, unavailable},
};

/// So many records are deleted at the same time.
const AT_ONCE: usize = 16;

impl DynamoDbSessions {
    /// How many records an owner has, whatever their state, those that cannot be read among them.
    pub async fn count_records(&self, owner: &Owner) -> Result<usize, Unavailable> {
        let mut pages = self.query(owner).projection_expression("#owner, sid").into_paginator().send();
        let mut count = 0;
        while let Some(page) = pages.next().await {
            count += page.map_err(unavailable)?.items().len();
        }
        Ok(count)
    }

    /// Deletes all records of an owner for good, and tells of each. Goes on until there is none, so that those are gone
    /// as well that were made meanwhile. After a failure some are gone: the same again deletes the rest.
    pub async fn erase(&self, owner: &Owner, told: &(dyn Fn() + Sync)) -> Result<(), Unavailable> {
        loop {
            let request = self.query(owner).projection_expression("#owner, sid");
            let mut keys = request.send().await.map_err(unavailable)?.items.unwrap_or_default().into_iter();
            if keys.len() == 0 {
                return Ok(());
            }
            let mut running = JoinSet::new();
            loop {
                for key in keys.by_ref().take(AT_ONCE - running.len()) {
                    running.spawn(self.clone().delete(key));
                }
                let Some(deleted) = running.join_next().await else { break };
                deleted.map_err(|error| Unavailable::new("session store", error.to_string()))??;
                told();
            }
        }
    }

    async fn delete(self, key: Item) -> Result<(), Unavailable> {
        let request = self.client.delete_item().table_name(&self.table).set_key(Some(key));
        request.send().await.map_err(unavailable)?;
        Ok(())
    }
}
