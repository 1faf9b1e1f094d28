//! What is derived from the key ring, kept in step with it: written by every command that changes a ring in Secrets Manager.

use std::{cell::Cell, fmt, fs};

use clap::Args;
use latchkey_token::{
    keys::KeyRing,
    ports::{DerivedDocument, RingVersions},
    rotation::{Derived, publish_derived},
};
use latchkey_token_aws::{RingSecrets, SecretsManagerRing, sdk};

use super::super::{
    document::{Checked, Draft},
    place::{Change, Location, Place},
};
use crate::{
    console::{Failure, block_on},
    secrets::write_file,
};

/// Where what is derived from the ring is kept. A file has nothing beside it: the local server derives by itself.
#[derive(Args)]
pub(super) struct DerivedSecrets {
    /// With --secret-id: the secret "verification-keys", which is derived from the key ring and written with it
    #[arg(long, value_name = "ID", required_unless_present = "file", conflicts_with = "file")]
    verification_keys: Option<String>,
    /// With --secret-id: the secret "ticket-keys", as --verification-keys
    #[arg(long, value_name = "ID", required_unless_present = "file", conflicts_with = "file")]
    ticket_keys: Option<String>,
    /// With --secret-id: the secret "public-keys", as --verification-keys
    #[arg(long, value_name = "ID", required_unless_present = "file", conflicts_with = "file")]
    public_keys: Option<String>,
}

impl DerivedSecrets {
    /// Changes the ring, as [`Place::edit`] does, and what is derived from it. What is added is in the derived documents
    /// first, what is taken away is in them last: so nothing signs that cannot be verified.
    ///
    /// A change that fails after it has begun to write may have left keys there that are not in the ring, or have changed
    /// the ring without an answer: so they are derived again in any case.
    pub(super) fn edit<T>(
        &self,
        place: &Place,
        change: impl Fn(&mut Draft<KeyRing>) -> Result<T, Failure>,
    ) -> Result<(Checked<KeyRing>, T), Failure> {
        let Place::Secret(id) = place else { return place.edit(change) };
        let has_begun = Cell::new(false);
        let edited = place.edit_ahead(change, async |before, after| {
            has_begun.set(true);
            let Some(derived) = Derived::ahead(before, after) else { return Ok(()) };
            derived.publish(&self.ring(id).await).await.map_err(|error| {
                fail(id, format_args!("what is derived from it could not be written: {error}. It was not changed"))
            })
        });
        match edited {
            Ok(edited) => self.publish(id).map(|()| edited),
            Err(failure) if !has_begun.get() => Err(failure),
            Err(failure) => match self.publish(id) {
                Ok(()) => Err(failure),
                Err(unpublished) => Err(Failure::Twice(Box::new(failure), Box::new(unpublished))),
            },
        }
    }

    /// The same, or only what it would do.
    pub(super) fn make<T>(
        &self,
        asked: &Change,
        change: impl Fn(&mut Draft<KeyRing>) -> Result<T, Failure>,
    ) -> Result<(Checked<KeyRing>, T), Failure> {
        if asked.is_dry_run() { asked.make(change) } else { self.edit(&asked.place(), change) }
    }

    fn publish(&self, id: &str) -> Result<(), Failure> {
        block_on(async {
            publish_derived(&self.ring(id).await).await.map_err(|error| {
                fail(
                    id,
                    format_args!(
                        "what is derived from it could not be brought in step with it: {error}. Run `latchkey keys \
                         publish` with the same secrets: until then the functions that read that go on with what is \
                         written there"
                    ),
                )
            })
        })
    }

    async fn ring(&self, id: &str) -> impl RingVersions {
        let named = |id: &Option<String>| id.clone().unwrap_or_default();
        let secrets = RingSecrets {
            signing_keys: id.to_owned(),
            verification_keys: named(&self.verification_keys),
            ticket_keys: named(&self.ticket_keys),
            public_keys: named(&self.public_keys),
            librechat_secret: None,
        };
        SecretsManagerRing::new(&sdk::config().await, secrets)
    }
}

fn fail(id: &str, detail: impl fmt::Display) -> Failure {
    Failure::Place { place: format!("secret {id}"), detail: detail.to_string() }
}

/// Write what is derived from the key ring: verification-keys, ticket-keys, public-keys
///
/// Rotations and the commands that change the ring do this by themselves. For a command that says that it could not, for a
/// ring that was changed by other means or restored, and for files: a function that runs on this machine reads those. What
/// is written already is left alone.
#[derive(Args)]
#[command(after_help = "Examples:
  latchkey keys publish --secret-id latchkey/signing-keys \\
    --verification-keys latchkey/verification-keys --ticket-keys latchkey/ticket-keys \\
    --public-keys latchkey/public-keys
  latchkey keys publish --file keys.json --verification-keys verification-keys.json \\
    --ticket-keys ticket-keys.json --public-keys public-keys.json")]
pub(crate) struct Publish {
    #[command(flatten)]
    location: Location,
    /// The secret, or with --file the file, for what functions that only verify need
    #[arg(long, value_name = "ID|PATH")]
    verification_keys: String,
    /// The same, for the keys of sign-ins and of registered clients
    #[arg(long, value_name = "ID|PATH")]
    ticket_keys: String,
    /// The same, for the public keys with their times
    #[arg(long, value_name = "ID|PATH")]
    public_keys: String,
}

impl Publish {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let place = self.location.place();
        let ring: Checked<KeyRing> = place.load_as_functions_do()?;
        match &place {
            Place::Secret(id) => {
                let named = |id: &String| Some(id.clone());
                let secrets = DerivedSecrets {
                    verification_keys: named(&self.verification_keys),
                    ticket_keys: named(&self.ticket_keys),
                    public_keys: named(&self.public_keys),
                };
                secrets.publish(id)?;
            }
            Place::File(_) => self.write_files(&ring)?,
        }
        eprintln!("what is derived from {place} is written");
        Ok(())
    }

    fn write_files(&self, ring: &Checked<KeyRing>) -> Result<(), Failure> {
        let derived = Derived::of(&ring.parsed, ring.text());
        for document in DerivedDocument::ALL {
            let path = match document {
                DerivedDocument::VerificationKeys => &self.verification_keys,
                DerivedDocument::TicketKeys => &self.ticket_keys,
                DerivedDocument::PublicKeys => &self.public_keys,
            };
            let text = derived.as_ref().map(|derived| derived.text(document)).unwrap_or_default();
            if fs::read_to_string(path).is_ok_and(|there| there == text) {
                continue;
            }
            write_file(path.as_ref(), &text)
                .map_err(|error| Failure::Place { place: path.clone(), detail: error.to_string() })?;
        }
        Ok(())
    }
}
