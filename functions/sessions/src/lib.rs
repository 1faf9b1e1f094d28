//! `/sessions`: an issuer lists its subjects' sessions and ends them.

use lambda_http::http::Method;
use latchkey_token::{
    audit::EventKind,
    management::{PageLimit, SessionFilter, SubjectSessions},
    ports::{DocumentSource, ListSessions, ReadSession, RevokeSession},
    session::{Session, Standing},
    values::{SessionKey, Subject},
};
use latchkey_token_lambda::{
    Body, Request, Response, Service,
    request::{
        Parameters, RequestFault,
        credentials::{self, Authorization},
    },
    response::{self, EdgeError},
    telemetry::RequestAudit,
    within_deadline,
};
use serde::Serialize;

/// One session, as an issuer sees it. Times in Unix seconds.
#[derive(Serialize)]
pub struct ListedSession {
    session_id: String,
    subject: String,
    client_id: String,
    issuer_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    scope: String,
    generation: u32,
    issued_at: i64,
    rotated_at: i64,
    idle_expires_at: i64,
    absolute_expires_at: i64,
}

/// A session that can still let somebody in, and how it stands.
#[derive(Serialize)]
struct StandingSession {
    #[serde(flatten)]
    session: ListedSession,
    /// `live` or `idle`.
    state: &'static str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Listed {
        sessions: Vec<StandingSession>,
        #[serde(skip_serializing_if = "Option::is_none")]
        next: Option<String>,
    },
    Ended {
        ended: usize,
        /// Time was up: the same request ends the rest.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        more: bool,
    },
}

/// Answers one request: `GET /sessions`, `DELETE /sessions`, `DELETE /sessions/{session_id}`; a stage may stand in front
/// of the path. Never fails: every outcome is a response.
pub async fn handle<S, D>(service: &Service<S, D>, request: Request) -> Response<Body>
where
    S: ListSessions + ReadSession + RevokeSession,
    D: DocumentSource,
{
    let audit = RequestAudit::new("sessions", &request);
    let answer = sessions(service, &request, &audit).await.map(|answer| response::ok(&answer));
    service.respond(&request, answer, &audit, EventKind::ClientRejected)
}

async fn sessions<S, D>(service: &Service<S, D>, request: &Request, audit: &RequestAudit) -> Result<Answer, EdgeError>
where
    S: ListSessions + ReadSession + RevokeSession,
    D: DocumentSource,
{
    let authorization = Authorization::read(request.headers())?;
    let known: &[_] = match *request.method() {
        Method::GET => &["subject", "client_id", "limit", "next"],
        _ => &["subject", "client_id"],
    };
    let mut query = Parameters::of_query(request.uri(), known)?;
    let caller = credentials::of_header(authorization);
    let use_case = SubjectSessions {
        store: &service.store,
        documents: &service.documents,
        policy: &service.policy,
        clock: service.clock.as_ref(),
        randomness: service.randomness.as_ref(),
        audit,
    };
    let (_, last) = request.uri().path().rsplit_once('/').unwrap_or_default();
    if last != "sessions" {
        if request.method() != Method::DELETE {
            return Err(RequestFault::invalid("a session is ended with DELETE").into());
        }
        let key = SessionKey::parse(last).ok_or_else(|| RequestFault::invalid("the path ends in no session_id"))?;
        let ended = within_deadline(use_case.end_one(&caller, &key)).await?;
        return Ok(Answer::Ended { ended, more: false });
    }
    let subject = Subject::parse(&query.required("subject")?)
        .ok_or_else(|| RequestFault::invalid(format!("subject must be {}", Subject::RULE)))?;
    let filter = SessionFilter { subject, client_id: query.text("client_id")? };
    match *request.method() {
        Method::GET => {
            let limit = limit(query.text("limit")?)?;
            let after = query.text("next")?.map(|next| {
                SessionKey::parse(&next).ok_or_else(|| RequestFault::invalid("next is of no answer to this query"))
            });
            let after = after.transpose()?;
            let page = within_deadline(use_case.list(&caller, &filter, limit, after.as_ref())).await?;
            let sessions = page.sessions.iter().map(StandingSession::from).collect();
            Ok(Answer::Listed { sessions, next: page.next.map(|key| key.to_string()) })
        }
        Method::DELETE => {
            let ended = within_deadline(use_case.end_all(&caller, &filter)).await?;
            Ok(Answer::Ended { ended: ended.count, more: ended.has_more })
        }
        _ => Err(RequestFault::invalid("sessions are listed with GET and ended with DELETE").into()),
    }
}

fn limit(text: Option<String>) -> Result<PageLimit, RequestFault> {
    let Some(text) = text else { return Ok(PageLimit::MAX) };
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let limit = is_number.then(|| text.parse().ok().and_then(PageLimit::new)).flatten();
    limit.ok_or_else(|| RequestFault::invalid("limit must be a whole number from 1 to 1000"))
}

impl From<&(Session, Standing)> for StandingSession {
    fn from((session, standing): &(Session, Standing)) -> Self {
        Self { session: session.into(), state: standing.name() }
    }
}

impl From<&Session> for ListedSession {
    fn from(session: &Session) -> Self {
        Self {
            session_id: session.key.to_string(),
            subject: session.subject.as_str().to_owned(),
            client_id: session.client_id.to_string(),
            issuer_id: session.issuer_id.to_string(),
            scope: session.scope.to_string(),
            generation: session.generation.number(),
            issued_at: session.issued_at.unix_seconds(),
            rotated_at: session.rotated_at.unix_seconds(),
            idle_expires_at: session.ends_at().unix_seconds(),
            absolute_expires_at: session.absolute_expires_at.unix_seconds(),
        }
    }
}
