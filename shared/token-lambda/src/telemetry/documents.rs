//! The documents in use, in metrics and audit trail.

use latchkey_token::{audit::EventKind, documents::Observer, json::Faults};

use super::{logs::AUDIT, metrics};

/// Tells metrics and audit trail.
pub const OBSERVER: Observer =
    Observer { served: metrics::document_served, ring_served: metrics::ring_served, faulty: document_faulty };

/// All faults in one line; they quote no values.
fn document_faulty(document: &'static str, faults: &Faults) {
    let event = EventKind::DocumentFault.name();
    tracing::error!(
        target: AUDIT,
        service = "latchkey",
        event,
        document,
        faults = %faults,
        "a document is faulty: what needs the faulty entries is answered 503"
    );
    metrics::count(event, None);
}
