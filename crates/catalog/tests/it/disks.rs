//! A journal by hand: disks that are lost, nodes that leave, copies and objects that are not as they should be, and fewer
//! copies than nodes.

use proto::{
    BlobCondemned, BlobId, Fact, FileUploaded, MarkerId, NodeRetired, NodeRule, NodeWiped, OnConflict, Orphan,
    Placement, PlacementChanged, ReplicaLost, ReplicationRedriven, Sha256Digest, WantedCopy,
};
use uuid::Uuid;

use crate::world::{Journal, marker, node};

impl Journal {
    fn wipe(&mut self, name: &str, old_marker_id: MarkerId, disk: &str) {
        let marker_id = marker(disk);
        self.publish(Fact::NodeWiped(NodeWiped { node: node(name), old_marker_id, marker_id }));
    }

    pub(crate) fn retire(&mut self, name: &str) {
        self.publish(Fact::NodeRetired(NodeRetired { node: node(name), marker_id: marker(name) }));
    }

    fn lost(&mut self, name: &str, replicas: Vec<WantedCopy>) {
        let (reason, evaluated_at) = ("it is \0 not there".to_owned(), self.n());
        let (node, marker_id) = (node(name), marker(name));
        self.publish(Fact::ReplicaLost(ReplicaLost { node, marker_id, evaluated_at, reason, replicas }));
    }

    fn redrive(&mut self, name: &str, replicas: Vec<WantedCopy>) {
        self.publish(Fact::ReplicationRedriven(ReplicationRedriven { node: node(name), replicas }));
    }

    /// On so many nodes, of which node-a takes three times as much as the others.
    pub(crate) fn place(&mut self, copies: u32) {
        let rule = NodeRule { weight: 3.try_into().unwrap(), zone: Some("north".parse().unwrap()) };
        let placement = Placement { copies: copies.try_into().ok(), nodes: [(node("node-a"), rule)].into() };
        self.publish(Fact::PlacementChanged(PlacementChanged { placement }));
    }

    /// An upload to node-a that shall be on these nodes.
    pub(crate) fn upload_to(&mut self, path: &str, targets: &[&str]) -> BlobId {
        self.upload(path, 70);
        let blob_id = BlobId::new(marker(&format!("placed {}", self.n())).uuid());
        let targets = Some(targets.iter().map(|name| node(name)).collect());
        self.publish(Fact::FileUploaded(FileUploaded { blob_id, targets, ..self.last_upload() }));
        blob_id
    }

    fn found(&mut self, name: &str) -> BlobId {
        let blob_id = BlobId::new(marker(&format!("orphan {}", self.n())).uuid());
        let (sha256, space_id) = (Sha256Digest::of(b"found"), self.space());
        let orphan = Orphan { blob_id, size_bytes: 5, sha256, space_id, node: node(name) };
        self.publish(Fact::BlobCondemned(BlobCondemned { blob_ids: Vec::new(), orphans: vec![orphan] }));
        blob_id
    }

    /// An upload, and the copy of it that may be asked for later.
    fn kept(&mut self, path: &str, size_bytes: u64) -> WantedCopy {
        let (event_id, _) = self.upload(path, size_bytes);
        let uploaded = self.last_upload();
        WantedCopy {
            blob_id: uploaded.blob_id,
            size_bytes,
            sha256: uploaded.sha256,
            slices_sha256: uploaded.slices_sha256,
            slice_bytes: uploaded.slice_bytes,
            space_id: uploaded.space_id,
            event_id,
            source: uploaded.node,
        }
    }
}

/// Pairs of each state on a node that is wiped, and on one that leaves.
pub(crate) fn disks(journal: &mut Journal) {
    journal.join("node-e");
    journal.join("node-f");
    let [a, b] = [journal.kept("disks/a", 50), journal.kept("disks/b", 20 * 1024 * 1024)];
    let [_, [going, gone]] = [(); 2].map(|()| {
        [51, 52].map(|size| {
            journal.upload_as("disks/a", size, OnConflict::Fail);
            journal.last_upload().blob_id
        })
    });
    journal.condemn(&[going, gone]);
    journal.order_erasure(&[going, gone]);
    let ordered = journal.n();
    for name in ["node-e", "node-f"] {
        journal.stored(name, &[a.blob_id]);
        journal.parked(name, b.blob_id, "no");
    }
    for name in ["node-a", "node-b", "node-c", "node-d", "node-e"] {
        journal.erased(name, &[gone], ordered);
    }
    journal.order_erasure(&[going, gone]);

    journal.wipe("node-e", marker("node-e"), "node-e, the second disk");
    journal.wipe("node-e", marker("node-e"), "node-e, the third disk");
    journal.stored("node-e", &[a.blob_id]);

    journal.lost("node-a", vec![a.clone(), b.clone()]);
    journal.lost("node-nowhere", vec![a.clone()]);
    journal.redrive("node-a", vec![a.clone()]);
    journal.redrive("node-f", vec![b]);
    journal.redrive("node-d", vec![WantedCopy { blob_id: BlobId::new(Uuid::nil()), ..a.clone() }]);

    let orphan = journal.found("node-b");
    journal.found("node-nowhere");
    journal.order_erasure(&[orphan]);

    // The last one that has to erase a blob leaves.
    journal.retire("node-f");
    journal.retire("node-f");
    journal.upload("disks/after", 60);

    journal.place(2);
    journal.place(2);
    let placed = journal.upload_to("disks/placed", &["node-b", "node-nowhere"]);
    journal.join("node-g");
    journal.redrive("node-g", vec![WantedCopy { blob_id: placed, ..a }]);
}
