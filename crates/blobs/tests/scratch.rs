#![allow(warnings)]
#[path = "it/minio.rs"] mod minio;
use blobs::*; use proto::*; use bytes::Bytes; use runtime::{clock::*, shutdown::*, tasks::*};
fn cpu() -> f64 { let s = std::fs::read_to_string("/proc/self/stat").unwrap(); let f: Vec<&str> = s.rsplit(')').next().unwrap().split_whitespace().collect(); (f[11].parse::<f64>().unwrap()+f[12].parse::<f64>().unwrap())/100.0 }
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cost() {
    let address = tokio::task::spawn_blocking(minio::address).await.unwrap().unwrap();
    let d = tempfile::tempdir().unwrap(); let f = d.path().join("s"); std::fs::write(&f, minio::SECRET_KEY).unwrap();
    let cfg = |id: &str| NodeConfig { id: id.parse().unwrap(), endpoint: format!("http://{address}"), region: "us-east-1".into(), bucket: format!("bench-{id}"), access_key: minio::ACCESS_KEY.into(), secret_key_file: f.clone() };
    let ids = Ids::system(); let tasks = Tasks::new(Shutdown::new());
    let configs = [cfg("node-a"), cfg("node-b")];
    let nodes = Nodes::open(&configs, Config::default(), None, &tasks, Clock::system()).await.unwrap();
    for n in nodes.all() { n.ensure_bucket().await.unwrap(); n.write_marker(&Marker{cluster_id: ClusterId::new(ids.v4()), node_id: n.id().clone(), marker_id: MarkerId::new(ids.v4()), created_at: Clock::system().now()}).await.unwrap(); }
    for (len, count, par) in [(4096usize, 1600usize, 8usize), (1<<20, 200, 4), (64<<20, 6, 2)] {
        let content = Bytes::from((0..len).map(|i| (i*7+i/251) as u8).collect::<Vec<u8>>());
        let t = std::time::Instant::now(); let c = cpu();
        let sem = std::sync::Arc::new(tokio::sync::Semaphore::new(par));
        let mut set = tokio::task::JoinSet::new();
        for _ in 0..count { let (nodes, ids, content, p) = (nodes.clone(), ids.clone(), content.clone(), sem.clone().acquire_owned().await.unwrap());
            set.spawn(async move { let e = EventId::new(ids.v7()); let meta = ObjectMeta{event_id: e, space: SpaceId::new(ids.v4()), version_id: e.version_id()}; let b = BlobId::new(ids.v7());
                let mut u = nodes.begin_upload(b, meta); let mut c = content.clone(); while !c.is_empty() { let n = c.len().min(1<<20); u.write(c.split_to(n)).await.unwrap(); } let w = u.finish().await.unwrap(); drop(p); (BlobRef::written(b,&w), meta, w) }); }
        let all = set.join_all().await;
        let (dt, dc) = (t.elapsed().as_secs_f64(), cpu()-c);
        println!("{len:>9} upload: {:>8.1} us cpu each, {:>8.1} us wall each, {:.2} cpu s/GB", dc*1e6/count as f64, dt*1e6/count as f64, dc/(len*count) as f64*1e9);
        let t = std::time::Instant::now(); let c = cpu();
        let mut set = tokio::task::JoinSet::new();
        for (b, meta, w) in all.clone() { let (nodes, p) = (nodes.clone(), sem.clone().acquire_owned().await.unwrap());
            set.spawn(async move { let target = nodes.all().iter().find(|n| *n.id() != w.node).unwrap().id().clone(); copy(&nodes, &b, &meta, &[w.node.clone()], &target, CopyOptions{first_attempt: true, check_erased: false}).await.unwrap(); drop(p); }); }
        set.join_all().await;
        let (dt, dc) = (t.elapsed().as_secs_f64(), cpu()-c);
        println!("{len:>9} copy:   {:>8.1} us cpu each, {:>8.1} us wall each, {:.2} cpu s/GB", dc*1e6/count as f64, dt*1e6/count as f64, dc/(len*count) as f64*1e9);
        let t = std::time::Instant::now(); let c = cpu();
        let mut set = tokio::task::JoinSet::new();
        for (b, meta, w) in all { let (nodes, p) = (nodes.clone(), sem.clone().acquire_owned().await.unwrap());
            set.spawn(async move { let mut r = nodes.read(b, &[w.node], 0, u64::MAX); while r.next().await.unwrap().is_some() {} drop(p); }); }
        set.join_all().await;
        let (dt, dc) = (t.elapsed().as_secs_f64(), cpu()-c);
        println!("{len:>9} read:   {:>8.1} us cpu each, {:>8.1} us wall each, {:.2} cpu s/GB", dc*1e6/count as f64, dt*1e6/count as f64, dc/(len*count) as f64*1e9);
    }
}
