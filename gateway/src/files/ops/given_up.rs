//! What was given up.

use catalog::GivenUpPage;
use proto::{NodeId, Sequence};

use crate::error::Result;
use crate::files::Files;

impl Files {
    /// A page of the copies and erasures that were given up, of one node or of all.
    pub(crate) async fn given_up(
        &self,
        node: Option<&NodeId>,
        page_size: u32,
        page_token: &str,
        at_least: Option<Sequence>,
    ) -> Result<GivenUpPage> {
        let page_size = self.page_size(page_size)?;
        self.reach(at_least).await?;
        Ok(self.catalog().given_up(node, page_size, page_token).await?)
    }
}
