//! Why: the one list of reasons in audit lines. Precise here, though every refusal looks the same from outside.
//!
//! To add one, add a variant with its meaning, and its row in docs/operations.md (Every reason); a test holds both
//! together.

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])+ $variant:ident = $name:literal,)+) => {
        /// Why something was refused, ended, or worth a remark.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $($(#[$doc])+ $variant,)+
        }

        impl Reason {
            /// Every reason, in the order of the documents.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// The word for it in audit lines, metrics and a record's `revoked_reason`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

reasons! {
    // The request, and who sends it.
    /// The request cannot be read: its URL, body, content type, or a parameter that stands twice or has no value.
    MalformedRequest = "malformed_request",
    /// `grant_type` names something else than what this endpoint does.
    UnsupportedGrantType = "unsupported_grant_type",
    /// At issue: unknown issuer, wrong secret, or none.
    IssuerUnauthenticated = "issuer_unauthenticated",
    /// At renewal: unknown client, or wrong secret.
    ClientUnauthenticated = "client_unauthenticated",
    /// At renewal: a confidential client sent its id without a secret.
    ClientNotAuthenticated = "client_not_authenticated",
    /// At renewal and in a sign-in: no client with this id is registered.
    ClientUnknown = "client_unknown",
    /// At renewal and in a sign-in: neither the request nor an access token says which client it is.
    ClientNotNamed = "client_not_named",
    /// At revocation, introspection and `/sessions`: unknown caller, wrong secret, or none.
    CallerUnauthenticated = "caller_unauthenticated",
    /// At introspection: a public client, which has nothing to authenticate with.
    PublicClient = "public_client",
    /// At `/sessions`: a client, where only issuers may ask.
    NotAnIssuer = "not_an_issuer",
    /// At issue: no `client_id`, and the issuer may act for several.
    ClientIdMissing = "client_id_missing",
    /// The issuer asked for a client that it may not act for, or that is not registered.
    IssuerMayNotActForClient = "issuer_may_not_act_for_client",
    /// At issue: a scope outside the client's registration, or malformed.
    ScopeNotAllowed = "scope_not_allowed",
    /// At renewal: `scope` is malformed.
    ScopeMalformed = "scope_malformed",
    /// At `/authorize`, accept, the exchange of a code and renewal: a `resource` that is not one of the client's audiences.
    ResourceNotAllowed = "resource_not_allowed",
    /// At issue: a claim outside the client's registration, reserved, too long, or of a form that cannot be stored.
    ClaimsNotAllowed = "claims_not_allowed",
    /// At registration: the registrations say nothing of clients that register themselves.
    RegistrationOff = "registration_off",
    /// At registration: an address that is none, or that no client may register for, none at all, or too many.
    RegistrationRedirectUri = "registration_redirect_uri",
    /// At registration: a way to authenticate, a grant or a response type that is not supported.
    RegistrationMetadata = "registration_metadata",

    // An exchange for a target (RFC 8693).
    /// The client is public, or its tokens are of HS256: it may not exchange.
    ExchangeNotForThisClient = "exchange_not_for_this_client",
    /// The client is not registered for the target, several are named, or the scope does not tell which of them is meant.
    TargetNotRegistered = "target_not_registered",
    /// The token has been passed on four times.
    ExchangedTooOften = "exchanged_too_often",

    // Assertions (RFC 7523): an issuer's about a user, a client's about itself.
    /// Not three parts of base64url, or header or claims are no JSON object.
    AssertionMalformed = "assertion_malformed",
    /// A header parameter that must not be ignored, or one of the wrong kind.
    AssertionHeader = "assertion_header",
    /// Nobody is registered for its `iss`, or for no assertions.
    AssertionUnknownIssuer = "assertion_unknown_issuer",
    /// Another `alg` than the registered keys have.
    AssertionAlgorithm = "assertion_algorithm",
    /// No registered key has its `kid`, or it names none where there are several.
    AssertionUnknownKid = "assertion_unknown_kid",
    /// The signature does not verify.
    AssertionSignature = "assertion_signature",
    /// A claim that is needed is missing, or has the wrong form.
    AssertionClaims = "assertion_claims",
    /// Not for this deployment: another `aud`, several, or none.
    AssertionAudience = "assertion_audience",
    /// `exp` has passed.
    AssertionExpired = "assertion_expired",
    /// Without `exp`, or with one too far ahead, where that is not waived.
    AssertionEndless = "assertion_endless",
    /// `iat` or `nbf` lies further ahead than clocks differ.
    AssertionFromTheFuture = "assertion_from_the_future",
    /// Older than the waiver for legacy tokens allows.
    AssertionTooOld = "assertion_too_old",
    /// Made before `assertions_not_before`, or it does not say when.
    AssertionBeforeEpoch = "assertion_before_epoch",
    /// The claim that names the user is missing, or cannot be a subject.
    AssertionSubject = "assertion_subject",
    /// The client that it names, or that authenticates beside it, is another than the one that is asked for.
    AssertionClient = "assertion_client",
    /// Its `jti` has been used before.
    AssertionReplayed = "assertion_replayed",

    // The access token that is shown.
    /// At renewal: none came along, and the client's registration wants one.
    AccessTokenMissing = "access_token_missing",
    /// Not three parts of base64url, longer than 8 kB, or its header is no JSON object.
    AccessTokenMalformed = "access_token_malformed",
    /// A header that is not exactly `alg`, `kid` and `typ`.
    AccessTokenHeader = "access_token_header",
    /// No key of the ring that verifies now has its `kid`.
    AccessTokenUnknownKid = "access_token_unknown_kid",
    /// Another `alg` than the key has.
    AccessTokenAlgorithm = "access_token_algorithm",
    /// Another `typ` than access tokens of that key have: an ID token, for example.
    AccessTokenType = "access_token_type",
    /// The signature does not verify.
    AccessTokenSignature = "access_token_signature",
    /// A claim is missing, or has the wrong form, or they contradict each other.
    AccessTokenClaims = "access_token_claims",
    /// Another `iss` than this deployment's.
    AccessTokenIssuer = "access_token_issuer",
    /// Its `client_id` is not registered.
    AccessTokenUnknownClient = "access_token_unknown_client",
    /// Signed by a key that does not vouch for this client.
    AccessTokenKeyNotTheClients = "access_token_key_not_the_clients",
    /// Another client's than the one that renews or asks.
    AccessTokenOfAnotherClient = "access_token_of_another_client",
    /// Another session's than the refresh token's.
    AccessTokenOfAnotherSession = "access_token_of_another_session",
    /// For another audience than the session's, or than the authorizer lets in.
    AccessTokenAudienceMismatch = "access_token_audience_mismatch",
    /// It has expired; at renewal: past the grace period.
    AccessTokenExpired = "access_token_expired",
    /// `iat` lies further ahead than clocks differ.
    AccessTokenFromTheFuture = "access_token_from_the_future",
    /// It has been exchanged: it opens its target, and is good for nothing else.
    AccessTokenExchanged = "access_token_exchanged",

    // The refresh token that is presented.
    /// Not the form of a refresh token.
    RefreshTokenMalformed = "refresh_token_malformed",
    /// Its tag is not ours, or not for this client.
    RefreshTokenTag = "refresh_token_tag",
    /// At introspection: authentic, and of no use any more.
    RefreshTokenNotLive = "refresh_token_not_live",
    /// At introspection: a client asked about a refresh token.
    RefreshTokenShownToIssuersOnly = "refresh_token_shown_to_issuers_only",
    /// Not the form of a code.
    CodeMalformed = "code_malformed",
    /// The code's tag is not ours, or not for this client.
    CodeTag = "code_tag",
    /// `code_verifier` is not of the form of RFC 7636 §4.1.
    CodeVerifierMalformed = "code_verifier_malformed",
    /// The code was given out for another `redirect_uri`.
    RedirectUriMismatch = "redirect_uri_mismatch",
    /// `code_verifier` is not the one of the sign-in's `code_challenge`; or one of them is missing.
    CodeVerifierMismatch = "code_verifier_mismatch",
    /// The session has been renewed as often as a generation can count.
    GenerationsExhausted = "generations_exhausted",

    // A sign-in: the request, its ticket, the answer.
    /// At `/authorize`: the client is not registered for this `redirect_uri`, or there is none; also where it was taken out
    /// since.
    RedirectUriNotRegistered = "redirect_uri_not_registered",
    /// At `/authorize`: a parameter that is missing, stands twice, is too long, or asks for what is not supported.
    AuthorizationRequestMalformed = "authorization_request_malformed",
    /// At `/authorize`: no `code_challenge`, or none of the method S256, where one is needed.
    PkceMissing = "pkce_missing",
    /// At `/authorize`: no issuer with a `sign_in_url` may act for the client, or none that is certain.
    NoSignInIssuer = "no_sign_in_issuer",
    /// The ticket is none of this deployment's, has been altered, or its key has retired.
    TicketInvalid = "ticket_invalid",
    /// The ticket is older than ten minutes.
    TicketExpired = "ticket_expired",
    /// The ticket was sent to another issuer.
    TicketOfAnotherIssuer = "ticket_of_another_issuer",
    /// At accept: `auth_time` is missing or too long ago for `max_age` or `prompt=login`.
    AuthenticationTooOld = "authentication_too_old",
    /// At accept: `auth_time` lies further ahead than clocks differ.
    AuthenticationFromTheFuture = "authentication_from_the_future",
    /// The answer is none of this deployment's, has been altered, or its key has retired.
    AnswerInvalid = "answer_invalid",
    /// The answer is older than a minute.
    AnswerExpired = "answer_expired",
    /// The answer came in another browser than the one in which the sign-in was begun.
    BrowserMismatch = "browser_mismatch",
    /// The portal has rejected the sign-in.
    AccessDenied = "access_denied",
    /// The portal has rejected it: nobody is signed in there.
    LoginRequired = "login_required",
    /// The portal has rejected it: it would have had to ask something.
    InteractionRequired = "interaction_required",
    /// The portal has rejected it: the user has not agreed yet.
    ConsentRequired = "consent_required",
    /// The portal has rejected it: the user would have had to choose an account.
    AccountSelectionRequired = "account_selection_required",
    /// The portal has rejected it: it cannot tell now.
    TemporarilyUnavailable = "temporarily_unavailable",
    /// At userinfo: the access token is good and has no scope `openid`.
    ScopeMissing = "scope_missing",
    /// At sign-out: the hint is no ID token of ours, or `client_id` is not its client.
    HintInvalid = "hint_invalid",

    // The session, as the record has it.
    /// There is no record.
    SessionUnknown = "session_unknown",
    /// The record is another client's.
    ClientMismatch = "client_mismatch",
    /// It has been ended.
    SessionRevoked = "session_revoked",
    /// Nobody has renewed it for the idle time.
    SessionIdleExpired = "session_idle_expired",
    /// It has lived its life.
    SessionAbsoluteExpired = "session_absolute_expired",
    /// It was issued before `sessions_not_before` of the deployment, its client or its issuer.
    SessionBeforeEpoch = "session_before_epoch",
    /// At introspection and the authorizer: ended, over, unknown, or the token says more than its session.
    SessionNotLive = "session_not_live",
    /// Renewal is not open yet.
    WindowClosed = "window_closed",
    /// Authentic, yet not what the record says.
    RecordDiffers = "record_differs",
    /// The record's sealed successor does not open with the token that it was sealed for.
    SealDoesNotOpen = "seal_does_not_open",

    // Theft: a refresh token that has been replaced.
    /// One generation back, after the retry time.
    PredecessorAfterRetryTime = "predecessor_after_retry_time",
    /// Two generations back: its successor has been used.
    PredecessorAfterSuccessorUsed = "predecessor_after_successor_used",
    /// More than two generations back.
    OlderGeneration = "older_generation",

    // Who ended a session.
    /// An issuer.
    ByIssuer = "by_issuer",
    /// Its own client.
    ByClient = "by_client",
    /// The user, who has signed out at the client.
    SignOut = "sign_out",
    /// An operator, with the command line.
    Operator = "operator",

    // A remark on a success.
    /// Tokens for the profile `librechat` whose claim `id` is missing or no 24 hex digits: LibreChat will not know the user.
    ClaimIdMissing = "claim_id_missing",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_reasons_have_the_same_name_and_each_is_a_word_for_a_metric() {
        let names: BTreeSet<&str> = Reason::ALL.map(Reason::name).into_iter().collect();
        assert_eq!(names.len(), Reason::ALL.len());
        for name in names {
            assert!(name.len() <= 40 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        }
    }
}
