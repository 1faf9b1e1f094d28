//! What every session store must do, whatever it is made of. Each rule is a function of its own, on a session of its
//! own; [`check_all`] runs them one after the other and panics at the first that does not hold.

mod asserting;
mod codes;
mod sessions;

pub use self::asserting::SessionStore;

/// Runs every rule.
pub async fn check_all(store: &impl SessionStore) {
    sessions::check_all(store).await;
    codes::check_all(store).await;
}
