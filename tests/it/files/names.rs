//! Hostile and odd names: each comes back exactly, or is refused with a sentence.

use tests::{Content, reason_of, run};
use tonic::Code;
use unicode_normalization::UnicodeNormalization as _;

#[test]
fn odd_names_come_back_exactly() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            let long = "x".repeat(255);
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
                long.as_str(),
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
            let too_long = "x".repeat(256);
            let too_deep = "d/".repeat(2100) + "f";
            let bad = [
                "", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "\0", "a\nb", "a\u{7f}b", "a\u{85}b",
                &too_long, &too_deep,
            ];
            for name in bad {
                let status = client.put(name, Content::new(1, 1)).await.unwrap_err();
                assert_eq!(
                    (status.code(), reason_of(&status).as_str()),
                    (Code::InvalidArgument, "path_invalid"),
                    "{name:?}"
                );
                assert!(status.message().len() > 10, "{name:?}: {}", status.message());
                if !name.is_empty() {
                    assert_eq!(client.mkdir(name).await.unwrap_err().code(), Code::InvalidArgument, "{name:?}");
                }
            }
            Ok(())
        },
    );
}
