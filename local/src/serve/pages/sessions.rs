//! What one of the demo's applications remembers of its browsers, while the server runs: each under a cookie of its own.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use axum::http::{HeaderMap, header::COOKIE};
use latchkey_token::failure::Unavailable;

use crate::secrets::new_secret;

/// How many browsers are remembered; whoever comes first is forgotten first.
const KEPT: usize = 100;

/// The sessions of one application.
pub(in crate::serve) struct Sessions<T> {
    cookie: &'static str,
    path: &'static str,
    kept: Mutex<VecDeque<(String, T)>>,
}

impl<T: Default> Sessions<T> {
    /// Of the application below `path`, whose cookie has this name.
    pub(in crate::serve) fn new(cookie: &'static str, path: &'static str) -> Self {
        Self { cookie, path, kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<(String, T)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The id that the browser's cookie names.
    fn id(&self, headers: &HeaderMap) -> Option<String> {
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find_map(|(name, value)| (name == self.cookie).then(|| value.to_owned()))
    }

    /// What `look` finds in the browser's session; `None` if it has none.
    pub(in crate::serve) fn with<R>(&self, headers: &HeaderMap, look: impl FnOnce(&mut T) -> R) -> Option<R> {
        let id = self.id(headers)?;
        self.kept().iter_mut().find(|(own, _)| *own == id).map(|(_, session)| look(session))
    }

    /// Changes the browser's session, which gets a new id: whoever knew the old one has nothing by it. A browser without
    /// one gets one. Gives the `Set-Cookie`.
    pub(in crate::serve) fn renew(
        &self,
        headers: &HeaderMap,
        change: impl FnOnce(&mut T),
    ) -> Result<String, Unavailable> {
        let id = new_secret()?;
        let mut session = self.take(headers).unwrap_or_default();
        change(&mut session);
        let mut kept = self.kept();
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back((id.clone(), session));
        // Over plain HTTP a browser would refuse Secure and the prefix __Host-.
        Ok(format!("{}={id}; Path={}; HttpOnly; SameSite=Lax", self.cookie, self.path))
    }

    /// Ends the browser's session, and gives what was in it.
    pub(in crate::serve) fn take(&self, headers: &HeaderMap) -> Option<T> {
        let id = self.id(headers)?;
        let mut kept = self.kept();
        let position = kept.iter().position(|(own, _)| *own == id)?;
        kept.remove(position).map(|(_, session)| session)
    }

    /// The `Set-Cookie` that takes the cookie away.
    pub(in crate::serve) fn gone(&self) -> String {
        format!("{}=; Path={}; HttpOnly; SameSite=Lax; Max-Age=0", self.cookie, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_cookie(set: &str) -> HeaderMap {
        let pair = set.split(';').next().unwrap();
        HeaderMap::from_iter([(COOKIE, format!("other=1; {pair}").parse().unwrap())])
    }

    #[test]
    fn a_session_that_is_renewed_is_there_under_its_new_id_alone() {
        let sessions = Sessions::<u32>::new("demo", "/demo");
        let first = with_cookie(&sessions.renew(&HeaderMap::new(), |number| *number = 1).unwrap());
        assert_eq!(sessions.with(&first, |number| *number), Some(1));
        let second = with_cookie(&sessions.renew(&first, |number| *number += 1).unwrap());
        assert_eq!(
            (sessions.with(&first, |number| *number), sessions.with(&second, |number| *number)),
            (None, Some(2))
        );
        assert_eq!((sessions.take(&second), sessions.take(&second)), (Some(2), None));
        let planted = with_cookie("demo=planted");
        let given = with_cookie(&sessions.renew(&planted, |_| {}).unwrap());
        assert_eq!((sessions.with(&planted, |_| ()), sessions.with(&given, |_| ())), (None, Some(())));
    }

    #[test]
    fn only_so_many_are_remembered() {
        let sessions = Sessions::<u32>::new("demo", "/demo");
        let cookies: Vec<_> =
            (0..=KEPT).map(|_| with_cookie(&sessions.renew(&HeaderMap::new(), |_| {}).unwrap())).collect();
        let known: Vec<bool> = cookies.iter().map(|cookie| sessions.with(cookie, |_| ()).is_some()).collect();
        assert!(!known[0] && known[1..].iter().all(|known| *known));
    }
}
