//! Where blobs shall be, where they are, and how many a node lacks.

use catalog::ReplicaState::{Pending, Stored};
use proto::{BlobCondemned, Fact, NodeRetired};

use crate::short::catch_up;
use crate::world::{Journal, World, marker, node};

#[tokio::test]
async fn blobs_are_told_with_their_pairs_page_by_page() {
    let mut journal = Journal::begun(2);
    let (_, everywhere) = journal.upload("a", 5);
    let placed = journal.upload_to("b", &["node-b"]);
    let (_, gone) = journal.upload_as("a", 7, proto::OnConflict::Fail);
    journal.publish(Fact::BlobCondemned(BlobCondemned { blob_ids: vec![gone], orphans: Vec::new() }));
    journal.stored("node-b", &[placed]);
    let (_world, mut writer, reader) = World::with(&journal).await.unwrap();
    catch_up(&mut writer, &reader, &journal).await;

    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = reader.placed(None, after, 1).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.copy.blob_id);
        all.extend(page);
    }
    assert!(all.is_sorted_by_key(|one| one.copy.blob_id));
    assert!(all.iter().all(|one| one.copy.blob_id != gone), "what is condemned is placed nowhere any more");
    let of = |blob_id| all.iter().find(|one| one.copy.blob_id == blob_id).unwrap();
    let pairs = |names: [(&str, _); 2]| names.map(|(name, state)| (node(name), state)).to_vec();
    assert_eq!(of(placed).pairs, pairs([("node-a", Stored), ("node-b", Stored)]));
    assert!(of(everywhere).pairs.len() > 2 && of(everywhere).pairs.contains(&(node("node-b"), Pending)));
    assert_eq!((of(everywhere).copy.size_bytes, &of(everywhere).copy.source), (5, &node("node-a")));

    let on_c = reader.placed(Some(&node("node-c")), None, 100).await.unwrap();
    assert!(on_c.iter().any(|one| one.copy.blob_id == everywhere) && on_c.iter().all(|one| one.copy.blob_id != placed));
}

#[tokio::test]
async fn what_a_node_lacks_is_counted_as_far_as_it_is_asked() {
    let mut journal = Journal::begun(1);
    for n in 0..5 {
        journal.upload(&format!("{n}"), 5);
    }
    let (_world, mut writer, reader) = World::with(&journal).await.unwrap();
    catch_up(&mut writer, &reader, &journal).await;
    let all = reader.pending(&node("node-b"), 1000).await.unwrap();
    assert!(all >= 5, "{all}");
    assert_eq!(reader.pending(&node("node-b"), 3).await.unwrap(), 3);
    assert_eq!(reader.pending(&node("node-a"), 3).await.unwrap(), 0);
}

#[tokio::test]
async fn the_cluster_is_its_nodes_and_what_was_said_of_them_last() {
    let mut journal = Journal::begun(1);
    let (_world, mut writer, reader) = World::with(&journal).await.unwrap();
    catch_up(&mut writer, &reader, &journal).await;
    let before = reader.cluster().await.unwrap();
    assert_eq!((before.placement.seq, before.placement.placement.copies), (0, None));
    assert_eq!(before.nodes, reader.joined().await.unwrap());

    journal.place(2);
    let said = journal.n();
    journal.publish(Fact::NodeRetired(NodeRetired { node: node("node-b"), marker_id: marker("node-b") }));
    catch_up(&mut writer, &reader, &journal).await;
    let after = reader.cluster().await.unwrap();
    assert_eq!((after.placement.seq, after.placement.placement.copies), (said, 2.try_into().ok()));
    assert_eq!(after.placement.placement.nodes[&node("node-a")].weight.get(), 3);
    assert_eq!(after.nodes.len() + 1, before.nodes.len());
}
