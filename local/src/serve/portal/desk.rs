//! What the portal has: its credentials, and what it remembers of each browser.

use std::collections::VecDeque;

use crate::serve::{demo::DemoCredentials, pages::Sessions};

/// How many sign-ins of one browser may be open at once: each has a window of its own.
const MOST_OPEN: usize = 8;

/// The portal where it is on.
pub(super) struct Desk {
    pub credentials: DemoCredentials,
    /// The server's.
    pub url: String,
    pub sessions: Sessions<Visit>,
}

impl Desk {
    /// The issuer's id and secret.
    pub(super) fn caller(&self) -> (&str, &str) {
        (&self.credentials.issuer_id, &self.credentials.issuer_secret)
    }
}

/// The portal's session with a browser. It has nothing to do with a session of the service.
#[derive(Default)]
pub(super) struct Visit {
    pub user: Option<User>,
    /// The token of the form that signs the user out, once it has been shown.
    pub sign_out_form: Option<String>,
    open: VecDeque<OpenSignIn>,
}

/// Who has signed in at the portal.
#[derive(Clone)]
pub(super) struct User {
    pub subject: String,
    /// When, in Unix seconds.
    pub since: i64,
}

/// A sign-in that this browser has brought. Has no `Debug`: it holds a ticket.
#[derive(Clone)]
pub(super) struct OpenSignIn {
    /// The token of its form: nobody else's page knows it, so none can send the form.
    pub form: String,
    pub ticket: String,
}

impl Visit {
    pub(super) fn bring(&mut self, sign_in: OpenSignIn) {
        if self.open.len() == MOST_OPEN {
            self.open.pop_front();
        }
        self.open.push_back(sign_in);
    }

    pub(super) fn newest(&self) -> Option<&OpenSignIn> {
        self.open.back()
    }

    pub(super) fn of_form(&self, form: &str) -> Option<&OpenSignIn> {
        self.open.iter().find(|sign_in| sign_in.form == form)
    }

    pub(super) fn forget(&mut self, form: &str) {
        self.open.retain(|sign_in| sign_in.form != form);
    }
}
