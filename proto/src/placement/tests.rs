use std::collections::HashMap;

use proptest::collection::{btree_map, btree_set};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn blob(n: u128) -> BlobId {
    BlobId::new(Uuid::from_u128(n))
}

fn blobs() -> impl Strategy<Value = BlobId> {
    any::<u128>().prop_map(blob)
}

fn nodes(least: usize) -> impl Strategy<Value = Vec<NodeId>> {
    btree_set("[a-h]", least..9).prop_map(|names| names.iter().map(|name| name.parse().unwrap()).collect())
}

fn rules() -> impl Strategy<Value = BTreeMap<NodeId, NodeRule>> {
    let rule = (1..=MAX_WEIGHT, prop::option::of("z[1-3]"));
    btree_map("[a-h]", rule, 0..9).prop_map(|rules| {
        let rule = |(weight, zone): (u32, Option<String>)| NodeRule {
            weight: weight.try_into().unwrap(),
            zone: zone.map(|zone| zone.parse().unwrap()),
        };
        rules.into_iter().map(|(node, told)| (node.parse().unwrap(), rule(told))).collect()
    })
}

fn placements() -> impl Strategy<Value = Placement> {
    (prop::option::of(1_u32..5), rules())
        .prop_map(|(copies, nodes)| Placement { copies: copies.and_then(NonZeroU32::new), nodes })
}

fn of(names: &[&str]) -> Vec<NodeId> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn weighted(copies: u32, told: &[(&str, u32, &str)]) -> Placement {
    let rule = |weight: u32, zone: &str| NodeRule {
        weight: weight.try_into().unwrap(),
        zone: (!zone.is_empty()).then(|| zone.parse().unwrap()),
    };
    let nodes = told.iter().map(|(node, weight, zone)| (node.parse().unwrap(), rule(*weight, zone))).collect();
    Placement { copies: NonZeroU32::new(copies), nodes }
}

proptest! {
    #[test]
    fn the_order_in_which_nodes_are_named_does_not_matter(at in blobs(), nodes in nodes(1), placement in placements()) {
        let mut reversed = nodes.clone();
        reversed.reverse();
        prop_assert_eq!(placement.order(at, &nodes), placement.order(at, &reversed));
    }

    #[test]
    fn all_nodes_are_ordered_once_with_the_targets_first(at in blobs(), nodes in nodes(1), placement in placements()) {
        let (ordered, targets) = (placement.order(at, &nodes), placement.targets(at, &nodes));
        let copies = placement.copies.map_or(nodes.len(), |copies| nodes.len().min(copies.get() as usize));
        prop_assert_eq!(targets.len(), copies);
        prop_assert_eq!(&ordered[..copies], &targets[..]);
        let mut sorted = ordered;
        sorted.sort();
        prop_assert_eq!(sorted, nodes);
    }

    #[test]
    fn a_node_more_takes_the_place_of_one_at_most(at in blobs(), nodes in nodes(2), placement in placements()) {
        let (with, without) = (placement.targets(at, &nodes), placement.targets(at, &nodes[1..]));
        let gone: Vec<_> = without.iter().filter(|node| !with.contains(node)).collect();
        let new: Vec<_> = with.iter().filter(|node| !without.contains(node)).collect();
        prop_assert!(gone.len() <= 1, "{gone:?} moved");
        prop_assert!(new.iter().all(|node| **node == nodes[0]), "{new:?} got what the new node did not push there");
    }

    #[test]
    fn no_two_copies_share_a_zone_while_another_zone_has_none(
        at in blobs(), nodes in nodes(1), placement in placements(),
    ) {
        let targets = placement.targets(at, &nodes);
        let zone = |node: &NodeId| placement.zone(node).map_or_else(|| format!("of {node}"), ToString::to_string);
        let used: BTreeSet<_> = targets.iter().map(zone).collect();
        let there: BTreeSet<_> = nodes.iter().map(zone).collect();
        prop_assert_eq!(used.len(), there.len().min(targets.len()));
    }

    #[test]
    fn a_higher_score_never_costs_more(a in any::<u64>(), b in any::<u64>()) {
        prop_assert!(a >= b || cost(a) >= cost(b));
    }

    #[test]
    fn the_cost_is_the_logarithm(score in any::<u64>()) {
        #[expect(clippy::cast_precision_loss, reason = "compared with a tolerance")]
        let (exact, ours) = (64.0 - ((score as f64) + 1.0).log2(), cost(score) as f64 / 2_f64.powi(40));
        prop_assert!((exact - ours).abs() < 1e-9, "{exact} {ours}");
    }
}

#[test]
fn the_cost_of_the_extremes_is_exact() {
    assert_eq!(cost(u64::MAX), 0);
    assert_eq!(cost(0), 64 << FRACTION_BITS);
    assert_eq!(cost((1 << 63) - 1), 1 << FRACTION_BITS);
}

#[test]
fn blobs_spread_by_weight_and_a_new_node_takes_its_share_only() {
    let placement = weighted(1, &[("node-b", 2, ""), ("node-d", 3, "")]);
    let (three, four) = (of(&["node-a", "node-b", "node-c"]), of(&["node-a", "node-b", "node-c", "node-d"]));
    let (mut first, mut moved) = (HashMap::new(), 0);
    for n in 0..14_000 {
        let (before, after) = (placement.targets(blob(n), &three), placement.targets(blob(n), &four));
        if before != after {
            moved += 1;
            assert_eq!(after, four[3..], "a blob moves only to the new node");
        }
        *first.entry(after[0].to_string()).or_insert(0) += 1;
    }
    // Of seven shares, one, two, one and three.
    let about = |node: &str, share: i32| (share * 2000 - 250..share * 2000 + 250).contains(&first[node]);
    assert!(about("node-a", 1) && about("node-b", 2) && about("node-c", 1) && about("node-d", 3), "{first:?}");
    assert!((5750..6250).contains(&moved), "{moved}");
}

#[test]
fn copies_are_in_different_zones() {
    let placement = weighted(2, &[("a", 1, "north"), ("b", 1, "north"), ("c", 1, "south")]);
    for n in 0..100 {
        assert!(placement.targets(blob(n), &of(&["a", "b", "c"])).contains(&"c".parse().unwrap()));
    }
}

/// Where blobs are follows from this: another order would move them all.
#[test]
fn the_order_never_changes() {
    let nodes = of(&["node-a", "node-b", "node-c"]);
    let firsts = |placement: &Placement| {
        (0..8).map(|n| placement.order(blob(n), &nodes)[0].as_str()[5..].to_owned()).collect::<Vec<_>>().concat()
    };
    assert_eq!(firsts(&Placement::default()), "bccccbbb");
    assert_eq!(firsts(&weighted(2, &[("node-a", 9, "")])), "aaaaaaab");
}

#[test]
fn what_is_written_is_what_is_read() {
    let placement = weighted(2, &[("node-a", 3, "north"), ("node-b", 1, "")]);
    let text = r#"{"copies":2,"nodes":{"node-a":{"weight":3,"zone":"north"},"node-b":{"weight":1}}}"#;
    assert_eq!(serde_json::to_string(&placement).unwrap(), text);
    assert_eq!(serde_json::from_str::<Placement>(text).unwrap(), placement);
    assert_eq!(serde_json::from_str::<Placement>("{}").unwrap(), Placement::default());
    for wrong in [r#"{"copies":0}"#, r#"{"nodes":{"a":{"weight":0}}}"#, r#"{"nodes":{"a":{"weight":65536}}}"#] {
        assert!(serde_json::from_str::<Placement>(wrong).is_err(), "{wrong}");
    }
}
