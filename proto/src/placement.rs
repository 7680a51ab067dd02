//! Which nodes shall hold a blob: a function of the blob, the nodes and what [`PlacementChanged`] said last, the same in
//! every program.
//!
//! [`PlacementChanged`]: crate::PlacementChanged

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{BlobId, Invalid, NodeId, Zone};

/// The greatest weight of a node.
pub const MAX_WEIGHT: u32 = 65_535;

/// Bits after the point of [`cost`].
const FRACTION_BITS: u32 = 40;

/// How blobs are placed on nodes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placement {
    /// On how many nodes each blob shall be; none: on all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<NonZeroU32>,
    /// What is said of single nodes, members or not; of the others, [`NodeRule::default`] holds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub nodes: BTreeMap<NodeId, NodeRule>,
}

/// A placement, and the nodes that there are for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layout {
    /// The rules.
    pub placement: Placement,
    /// The nodes of the cluster that are to take blobs.
    pub members: Vec<NodeId>,
}

/// What is said of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeRule {
    /// Its share of the blobs, relative to the other nodes': 1 to [`MAX_WEIGHT`].
    pub weight: Weight,
    /// Nodes of one zone are likely to be lost together; none: a zone of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Zone>,
}

/// A node's weight: 1 to [`MAX_WEIGHT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "u32", try_from = "u32")]
pub struct Weight(u32);

// === impl Placement ===

impl Placement {
    /// The nodes that shall hold `blob` when `members` are the nodes of the cluster; the one that takes the first copy
    /// first.
    ///
    /// Weighted rendezvous hashing: each node's claim depends on the blob, that node and its weight alone, so a node that
    /// is added, removed or given another weight changes nothing between the others. Of each zone the node with the best
    /// claim comes first, the rest follow when there are fewer zones than copies.
    pub fn targets<'a>(&self, blob: BlobId, members: impl IntoIterator<Item = &'a NodeId>) -> Vec<NodeId> {
        let mut ordered = self.order(blob, members);
        if let Some(copies) = self.copies {
            ordered.truncate(usize::try_from(copies.get()).unwrap_or(usize::MAX));
        }
        ordered
    }

    /// All `members` in the order in which they should take the first copy of `blob`: its [`Self::targets`], then the
    /// others.
    pub fn order<'a>(&self, blob: BlobId, members: impl IntoIterator<Item = &'a NodeId>) -> Vec<NodeId> {
        let mut claims: Vec<Claim<'a>> = members.into_iter().map(|node| self.claim(blob, node)).collect();
        claims.sort();
        let mut zones = BTreeSet::new();
        let (first, rest): (Vec<_>, Vec<_>) =
            claims.iter().partition(|claim| self.zone(claim.node).is_none_or(|zone| zones.insert(zone)));
        first.into_iter().chain(rest).map(|claim| claim.node.clone()).collect()
    }

    fn claim<'a>(&self, blob: BlobId, node: &'a NodeId) -> Claim<'a> {
        let (score, weight) = (score(blob, node), self.nodes.get(node).map_or(Weight(1), |rule| rule.weight));
        Claim { cost: cost(score), weight: u64::from(weight.0), score, node }
    }

    fn zone(&self, node: &NodeId) -> Option<&Zone> {
        self.nodes.get(node)?.zone.as_ref()
    }
}

// === impl Layout ===

impl Layout {
    /// The nodes that shall hold `blob`, the one that takes the first copy first.
    pub fn targets(&self, blob: BlobId) -> Vec<NodeId> {
        self.placement.targets(blob, &self.members)
    }

    /// The nodes that an upload of `blob` names; none when it shall be on every node that there is.
    pub fn named_targets(&self, blob: BlobId) -> Option<Vec<NodeId>> {
        self.placement.copies.map(|_| self.targets(blob))
    }
}

// === impl NodeRule ===

impl Default for NodeRule {
    fn default() -> Self {
        Self { weight: Weight(1), zone: None }
    }
}

// === impl Weight ===

impl Weight {
    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Weight {
    type Error = Invalid;

    fn try_from(weight: u32) -> Result<Self, Invalid> {
        if (1..=MAX_WEIGHT).contains(&weight) {
            Ok(Self(weight))
        } else {
            Err(Invalid::new("weight", format!("{weight} is not 1 to {MAX_WEIGHT}")))
        }
    }
}

impl From<Weight> for u32 {
    fn from(weight: Weight) -> Self {
        weight.0
    }
}

/// A node's claim to a blob; the least comes first.
#[derive(Debug, PartialEq, Eq)]
struct Claim<'a> {
    cost: u64,
    weight: u64,
    score: u64,
    node: &'a NodeId,
}

// === impl Claim ===

impl Ord for Claim<'_> {
    /// By cost for each unit of weight, without a division. Of two that are equal but for what rounding took away the
    /// higher score comes first, so that nodes of one weight are always in the order of their scores.
    fn cmp(&self, other: &Self) -> Ordering {
        let (ours, theirs) = (self.cost * other.weight, other.cost * self.weight);
        ours.cmp(&theirs).then_with(|| other.score.cmp(&self.score)).then_with(|| self.node.cmp(other.node))
    }
}

impl PartialOrd for Claim<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// An even draw for the blob and the node. Part of what is stored: never changes.
fn score(blob: BlobId, node: &NodeId) -> u64 {
    let digest = Sha256::new().chain_update(blob.uuid().as_bytes()).chain_update(node.as_str()).finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(first)
}

/// `-log2((score + 1) / 2^64)`, with [`FRACTION_BITS`] after the point. Dividing it by a weight gives each node the share
/// of its weight (Efraimidis and Spirakis, 2006). In whole numbers, since floating-point logarithms differ between
/// machines, and this never may.
fn cost(score: u64) -> u64 {
    let value = u128::from(score) + 1;
    let whole = u128::BITS - 1 - value.leading_zeros();
    // The value, shifted so that it is 1 to 2 with 63 bits after the point. Each squaring gives one more bit of the
    // logarithm.
    let mut mantissa = if whole > 63 { value >> (whole - 63) } else { value << (63 - whole) };
    let mut log = u64::from(whole);
    for _ in 0..FRACTION_BITS {
        mantissa = (mantissa * mantissa) >> 63;
        let bit = mantissa >> 64;
        mantissa >>= bit;
        log = (log << 1) | u64::from(bit != 0);
    }
    (64 << FRACTION_BITS) - log
}

#[cfg(test)]
mod tests;
