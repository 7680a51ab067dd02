//! What all commands that change something share: one request, tried again as the same one, and its receipt.

use proto::v1::{Outcome, Receipt};
use runtime::clock::Ids;
use tonic::{Code, Status};

use crate::args::{Change, optional};
use crate::commands::Context;
use crate::commands::again::again;
use crate::exit::{Exit, Failure, Sought};
use crate::output::Format;
use crate::render;
use crate::render::text::Deed;

/// The id of this request: the caller's own, or a random one.
pub(super) fn request_id(change: &Change) -> String {
    match &change.request_id {
        Some(id) => id.to_string(),
        None => Ids::system().v4().to_string(),
    }
}

/// Makes a change and answers its receipt; `call` gets the request id, the same each time.
pub(super) async fn make<F>(
    context: &Context,
    change: &Change,
    sought: Sought,
    mut call: impl FnMut(String) -> F,
) -> Result<Receipt, Failure>
where
    F: Future<Output = Result<Option<Receipt>, Status>>,
{
    let request_id = request_id(change);
    let attempt = || {
        let answer = call(request_id.clone());
        async {
            let receipt = answer.await.map_err(|status| Failure::from_status(&status, sought))?;
            receipt.ok_or_else(without_receipt)
        }
    };
    again(context, change.retry_for, attempt).await
}

/// Says what became of a change. One that was rejected is a failure, though its receipt is an answer.
pub(super) fn report(context: &Context, receipt: &Receipt, deed: &Deed) -> Result<(), Failure> {
    match context.output.format {
        Format::Json => context.output.print(&render::json::receipt(receipt))?,
        Format::Text if context.global.quiet || is_rejected(receipt) => {}
        Format::Text => context.output.print(&render::text::deed(receipt, deed))?,
    }
    check(receipt, deed)
}

/// The failure of a rejected change.
pub(super) fn check(receipt: &Receipt, deed: &Deed) -> Result<(), Failure> {
    if !is_rejected(receipt) {
        return Ok(());
    }
    let message = render::text::deed(receipt, deed);
    Err(Failure::new(Exit::Other, Code::FailedPrecondition, &receipt.reason, message.trim_end()))
}

/// The failure when the gateway answers a change without saying what became of it.
pub(super) fn without_receipt() -> Failure {
    Failure::bad_answer("the gateway answered without a receipt")
}

/// Whether a change did not take effect.
pub(super) fn is_rejected(receipt: &Receipt) -> bool {
    receipt.outcome == i32::from(Outcome::Rejected)
}

// === impl Context ===

impl Context {
    /// Who makes the changes, as the API wants it.
    pub(super) fn actor(&self) -> String {
        optional(self.global.actor.as_ref())
    }
}
