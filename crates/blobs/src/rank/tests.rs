use proptest::collection::btree_set;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn blob() -> impl Strategy<Value = BlobId> {
    any::<u128>().prop_map(|bits| BlobId::new(Uuid::from_u128(bits)))
}

fn nodes(least: usize) -> impl Strategy<Value = Vec<NodeId>> {
    btree_set("[a-z][a-z0-9-]{0,8}", least..9)
        .prop_map(|names| names.iter().map(|name| name.parse().unwrap()).collect())
}

proptest! {
    #[test]
    fn the_order_in_the_configuration_does_not_matter(blob in blob(), nodes in nodes(1)) {
        let mut reversed = nodes.clone();
        reversed.reverse();
        prop_assert_eq!(rank(blob, &nodes), rank(blob, &reversed));
    }

    #[test]
    fn all_nodes_are_ranked_once(blob in blob(), nodes in nodes(1)) {
        let mut ranked = rank(blob, &nodes);
        ranked.sort();
        prop_assert_eq!(ranked, nodes);
    }

    #[test]
    fn a_node_more_leaves_the_order_of_the_others(blob in blob(), nodes in nodes(2)) {
        let with = rank(blob, &nodes);
        let without = rank(blob, &nodes[1..]);
        let rest: Vec<_> = with.into_iter().filter(|node| *node != nodes[0]).collect();
        prop_assert_eq!(rest, without);
    }
}

#[test]
fn blobs_spread_evenly_and_a_new_node_takes_its_share_only() {
    let of = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<Vec<NodeId>>();
    let (three, four) = (of(&["node-a", "node-b", "node-c"]), of(&["node-a", "node-b", "node-c", "node-d"]));
    let (mut first, mut moved) = ([0_u32; 4], 0);
    for n in 0..12_000 {
        let blob = BlobId::new(Uuid::from_u128(n));
        let (before, after) = (rank(blob, &three)[0].clone(), rank(blob, &four)[0].clone());
        if before != after {
            moved += 1;
            assert_eq!(after, four[3], "a blob moves only to the new node");
        }
        first[four.iter().position(|node| *node == after).unwrap()] += 1;
    }
    assert!(first.iter().all(|count| (2700..3300).contains(count)), "{first:?}");
    assert!((2700..3300).contains(&moved), "{moved}");
}

#[test]
fn the_order_never_changes() {
    let nodes: Vec<NodeId> = ["node-a", "node-b", "node-c"].map(|name| name.parse().unwrap()).to_vec();
    let firsts: Vec<String> =
        (0..8).map(|n| rank(BlobId::new(Uuid::from_u128(n)), &nodes)[0].as_str()[5..].to_owned()).collect();
    assert_eq!(firsts.concat(), "bccccbbb");
}
