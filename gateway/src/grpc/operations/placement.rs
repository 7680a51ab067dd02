//! The calls about where blobs are.

use std::num::NonZeroU32;

use catalog::Cluster;
use proto::{Incarnation, v1};

use super::Service;
use crate::error::Result;
use crate::files::{PlacementChange, request};
use crate::grpc::convert;

impl Service {
    pub(super) async fn placement(&self, request: &v1::GetPlacementRequest) -> Result<v1::GetPlacementResponse> {
        let cluster = self.files.placement(request::min_sequence(&request.min_sequence)?).await?;
        Ok(v1::GetPlacementResponse { placement: Some(told(&cluster, self.files.incarnation()?)) })
    }

    pub(super) async fn place(&self, request: &v1::SetPlacementRequest) -> Result<v1::SetPlacementResponse> {
        let author = request::author(&request.actor, &request.request_id)?;
        let rule =
            |told: &v1::PlacementNode| Ok((request::node(&told.node)?, request::node_rule(told.weight, &told.zone)?));
        let nodes: Result<_> = request.nodes.iter().map(rule).collect();
        let change = PlacementChange { copies: request.copies, nodes: nodes? };
        let cluster = self.files.change_placement(&author, change).await?;
        Ok(v1::SetPlacementResponse { placement: Some(told(&cluster, self.files.incarnation()?)) })
    }
}

fn told(cluster: &Cluster, incarnation: Incarnation) -> v1::Placement {
    let (seq, placement) = (cluster.placement.seq, &cluster.placement.placement);
    let node = |row: &catalog::NodeRow| {
        let rule = placement.nodes.get(&row.node).cloned().unwrap_or_default();
        v1::PlacementNode {
            node: row.node.to_string(),
            weight: rule.weight.get(),
            zone: rule.zone.map(|zone| zone.to_string()).unwrap_or_default(),
        }
    };
    v1::Placement {
        copies: placement.copies.map_or(0, NonZeroU32::get),
        nodes: cluster.nodes.iter().map(node).collect(),
        sequence: if seq == 0 { String::new() } else { convert::sequence(seq, incarnation) },
    }
}
