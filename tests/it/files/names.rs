//! Hostile and odd names: each comes back exactly, or is refused with a sentence.

use proto::v1::{self, OnConflict, UploadMetadata};
use tests::{Client, Content, metadata, reason_of, run};
use tonic::{Code, Status};
use unicode_normalization::UnicodeNormalization as _;

#[test]
fn odd_names_come_back_exactly() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            // 255 bytes each, which is all that a name can have.
            let long =
                ["x".repeat(255), "\u{8a9e}".repeat(85), "\u{1f600}".repeat(63) + "xyz", "\u{e9}".repeat(127) + "x"];
            let good = [
                "\u{1f600}.txt",
                "a\u{202e}gpj.exe",
                "%2f",
                "%2e%2e",
                "CON",
                "nul.txt",
                "dot.",
                "space ",
                " space",
                "Case",
                "case",
                "...",
                ".hidden",
                "back\\slash",
                "quote\"'`",
                "semi;colon",
                "+plus &and=is?#hash",
                "*.*",
                "\u{0130}I\u{0131}i",
                "\u{ffff}",
                "\u{10ffff}",
                "\u{200d}\u{200b}",
                "\u{e9}-nfc",
                &long[0],
                &long[1],
                &long[2],
                &long[3],
            ];
            for (seed, name) in (1..).zip(good) {
                let receipt = client.put(name, Content::new(seed, 10 + seed)).await?;
                assert_eq!(receipt.path, name, "{name:?}");
            }
            for (seed, name) in (1..).zip(good) {
                assert_eq!(client.get(name).await?, Content::new(seed, 10 + seed).bytes(), "{name:?}");
                let inside = format!("folder/{name}/inner");
                client.put(&inside, Content::new(seed, 5)).await?;
                assert_eq!(client.get(&inside).await?, Content::new(seed, 5).bytes(), "{inside:?}");
            }
            let mut sorted: Vec<&str> = good.to_vec();
            sorted.sort_unstable();
            let mut listed = client.ls("").await?;
            listed.retain(|name| name != "folder/");
            assert_eq!(listed, sorted);
            // NFD is the same name as its NFC twin: stored as NFC.
            let nfd: String = "\u{e9}-nfc".nfd().collect();
            assert_ne!(nfd, "\u{e9}-nfc");
            let twin = client.put(&nfd, Content::new(99, 9)).await?;
            assert_eq!((twin.path.as_str(), client.versions("\u{e9}-nfc").await?.len()), ("\u{e9}-nfc", 2));
            // What counts is how long it is as NFC.
            let nfd: String = long[3].nfd().collect();
            assert_eq!((nfd.len(), client.get(&nfd).await?), (382, client.get(&long[3]).await?));
            cluster.verify().await
        },
    );
}

#[test]
fn bad_names_are_refused_with_a_sentence() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            client.put("f", Content::new(1, 1)).await?;
            let trashed = client.put("trashed", Content::new(2, 1)).await?.file_id;
            client.delete("trashed").await?;
            // 256 bytes, in characters of one, two and three.
            let [of_one, of_two, of_three] = ["x".repeat(256), "\u{e9}".repeat(128), "\u{8a9e}".repeat(85) + "x"];
            let too_deep = "d/".repeat(2100) + "f";
            let bad = [
                "", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "\0", "a\nb", "a\u{7f}b", "a\u{85}b",
                &of_one, &of_two, &of_three, &too_deep,
            ];
            for name in bad {
                for (verb, answer) in all_verbs(&mut client, name, &trashed).await {
                    let Err(status) = answer else { anyhow::bail!("{verb} takes {name:?}") };
                    assert_eq!(
                        (status.code(), reason_of(&status).as_str()),
                        (Code::InvalidArgument, "path_invalid"),
                        "{verb} {name:?}"
                    );
                    assert!(status.message().len() > 10, "{verb} {name:?}: {}", status.message());
                }
            }
            assert_eq!((client.ls("").await?, client.trash().await?.len()), (vec!["f".to_owned()], 1));
            cluster.verify().await
        },
    );
}

/// Everything that can give something a name, asked to give this one.
async fn all_verbs(client: &mut Client, name: &str, trashed: &str) -> Vec<(&'static str, Result<(), Status>)> {
    let start = v1::StartUploadRequest { metadata: Some(UploadMetadata { size_bytes: Some(1), ..metadata(name) }) };
    let mut answers = vec![
        ("put", client.put(name, Content::new(1, 1)).await.map(drop)),
        ("start an upload", client.files.start_upload(start).await.map(drop)),
        ("mkdir", client.mkdir(name).await.map(drop)),
        ("mv", client.mv("f", name, OnConflict::Fail).await.map(drop)),
        ("cp", client.cp("f", name, OnConflict::Fail).await.map(drop)),
    ];
    // Nothing said is where it was.
    if !name.is_empty() {
        let (file_id, path) = (trashed.to_owned(), name.to_owned());
        let back = v1::UndeleteRequest { file_id, path, ..Default::default() };
        answers.push(("undelete", client.undelete(back).await.map(drop)));
    }
    answers
}
