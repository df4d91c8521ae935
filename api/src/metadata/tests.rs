use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;
use trinity_engine::ids::DefinitionId;
use trinity_engine::time::Timestamp;
use trinity_engine::value::Value;
use trinity_ingest::dead_letter::DeadLetter;
use trinity_ingest::decode::Stage;

use super::workflow::{ChangeError, Format, NewVersion, Status};
use super::*;

const NOW: Timestamp = Timestamp(1_795_000_000_000_000);

async fn open(folder: &TempDir) -> Result<Metadata, MetadataError> {
    let key = folder.path().join("secret.key");
    Metadata::open(&folder.path().join("metadata.db"), 4, KeySource::File(&key)).await
}

fn version<'a>(name: &'a str, version: &'a str) -> NewVersion<'a> {
    NewVersion { namespace: "test", name, version, status: Status::Active, format: Format::Yaml, text: "do: []" }
}

#[tokio::test]
async fn versions_make_a_line_and_numbers_are_never_given_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder).await.expect("a store");
    let first = store.create(&version("a", "1.0.0"), NOW).await.expect("created");
    let other = store.create(&version("b", "1.0.0"), NOW).await.expect("created");
    let second = store.create(&version("a", "2.0.0"), NOW).await.expect("created");
    assert_eq!((first, other, second), (DefinitionId(1), DefinitionId(2), DefinitionId(3)));
    let all = store.versions().await.expect("a list");
    let line = all[0].workflow.clone();
    assert_eq!(all[2].workflow, line);
    let again = store.create(&version("a", "1.0.0"), NOW).await;
    assert!(matches!(again, Err(ChangeError::VersionExists(version)) if version == "1.0.0"));
    assert!(matches!(store.update(&line, &version("a", "2.0.0"), NOW).await, Err(ChangeError::VersionExists(_))));
    let wrong = store.update(&line, &version("b", "3.0.0"), NOW).await;
    assert!(matches!(wrong, Err(ChangeError::OtherWorkflow { .. })));
    assert!(matches!(store.update("none", &version("a", "3.0.0"), NOW).await, Err(ChangeError::Unknown)));
    assert!(store.retire(&line, NOW).await.expect("retired"));
    assert!(!store.retire(&line, NOW).await.expect("nothing left"));
    assert!(matches!(store.update(&line, &version("a", "3.0.0"), NOW).await, Err(ChangeError::Retired)));
    let back = store.create(&version("a", "1.0.0"), NOW).await.expect("after DELETE it may come again");
    assert_eq!(back, DefinitionId(4));
    store.close().await;

    let all = open(&folder).await.expect("the same store").versions().await.expect("a list");
    let seen: Vec<_> = all.iter().map(|v| (v.number.0, v.version.as_str(), v.status, v.workflow == line)).collect();
    assert_eq!(
        seen,
        [
            (1, "1.0.0", Status::Retired, true),
            (2, "1.0.0", Status::Active, false),
            (3, "2.0.0", Status::Retired, true),
            (4, "1.0.0", Status::Active, true),
        ]
    );
}

#[tokio::test]
async fn a_draft_is_replaced_by_put_with_the_same_version() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder).await.expect("a store");
    let draft = NewVersion { status: Status::Draft, ..version("a", "1.0.0") };
    store.create(&draft, NOW).await.expect("created");
    let line = store.versions().await.expect("a list")[0].workflow.clone();
    let number = store.update(&line, &version("a", "1.0.0"), NOW).await.expect("replaced");
    assert_eq!(number, DefinitionId(2));
    let states: Vec<_> = store.versions().await.expect("a list").iter().map(|v| v.status).collect();
    assert_eq!(states, [Status::Retired, Status::Active]);
}

#[tokio::test]
async fn secrets_are_unreadable_on_the_disk_and_without_their_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder).await.expect("a store");
    let value = Value::from(serde_json::json!({"username": "u", "password": "hunter2-hunter2"}));
    assert!(store.put_secret("basic", &value, NOW).await.expect("set"));
    assert!(!store.put_secret("basic", &value, NOW).await.expect("set again"));
    store.put_secret("token", &Value::from("t"), NOW).await.expect("set");
    assert!(store.delete_secret("token").await.expect("deleted"));
    assert!(!store.delete_secret("token").await.expect("gone"));
    assert_eq!(store.secret_names().await.expect("names").len(), 1);
    store.close().await;
    for file in std::fs::read_dir(folder.path()).expect("files") {
        let bytes = std::fs::read(file.expect("a file").path()).expect("bytes");
        assert!(!bytes.windows(7).any(|window| window == b"hunter2"));
    }
    let store = open(&folder).await.expect("the same store");
    assert_eq!(store.secrets().await.expect("values").get("basic"), Some(&value));
    store.close().await;
    std::fs::remove_file(folder.path().join("secret.key")).expect("removed");
    assert!(matches!(open(&folder).await, Err(MetadataError::KeyMissing(_))));
    assert!(!folder.path().join("secret.key").exists(), "no new key was made");
}

fn letter(offset: Option<i64>) -> DeadLetter {
    DeadLetter {
        source: "orders".into(),
        received_at: NOW,
        topic: "t".into(),
        place: offset.map(|offset| (3, offset)),
        key: Some(bytes::Bytes::from_static(b"k")),
        headers: vec![("h".into(), bytes::Bytes::from_static(&[0xff, 0]))],
        payload: Some(bytes::Bytes::from_static(b"{\"a\":")),
        stage: Stage::Decode,
        reason: "not valid JSON".into(),
    }
}

#[tokio::test]
async fn dead_letters_are_kept_whole_and_a_record_read_twice_is_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder).await.expect("a store");
    store.keep_dead_letters(&[&letter(Some(7)), &letter(Some(7)), &letter(None), &letter(None)]).await.expect("kept");
    let all = store.dead_letters(None, 10).await.expect("a list");
    assert_eq!(all.iter().map(|l| l.id).collect::<Vec<_>>().len(), 3);
    assert!(all[0].id > all[1].id && all[1].id > all[2].id);
    assert_eq!(all[2].letter, letter(Some(7)));
    assert_eq!(store.dead_letters(Some(all[0].id), 1).await.expect("a page"), all[1..2]);
    let id = all[0].id;
    store.note_redrive(id, Err((Stage::Mapping, "no type")), NOW).await.expect("noted");
    store.note_redrive(id, Ok(()), NOW).await.expect("noted");
    let stored = store.dead_letter(id).await.expect("read").expect("it is there");
    assert_eq!((stored.attempts, stored.redriven_at), (2, Some(NOW)));
    assert_eq!((stored.letter.stage, stored.letter.reason.as_str()), (Stage::Mapping, "no type"));
    assert_eq!(store.dead_letters_waiting().await.expect("a count"), 2);
    assert!(store.dead_letter(999).await.expect("read").is_none());
}

/// Databases as a node left them, one of each form, with the key of their secret: `fixtures/form-<n>.db`. They are never
/// changed; when a form comes, keep one of it before the change lands.
#[tokio::test]
async fn what_an_earlier_form_holds_is_opened_and_goes_on() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/metadata/fixtures");
    for form in 1..=migrations::known() {
        let folder = tempfile::tempdir().expect("a folder");
        let copy = |from: &str, to: &str| {
            std::fs::copy(fixtures.join(from), folder.path().join(to))
                .unwrap_or_else(|error| panic!("{from}: {error}"));
        };
        copy(&format!("form-{form}.db"), "metadata.db");
        copy("fixture.key", "secret.key");
        std::fs::set_permissions(folder.path().join("secret.key"), PermissionsExt::from_mode(0o600)).expect("set");
        let store = open(&folder).await.expect("a store");
        let (now,): (i64,) = sqlx::query_as("PRAGMA user_version").fetch_one(&store.pool).await.expect("read");
        assert_eq!(now, migrations::known());

        let all = store.versions().await.expect("a list");
        let seen: Vec<_> = all.iter().map(|v| (v.number.0, v.name.as_str(), v.version.as_str(), v.status)).collect();
        let expected = [
            (1, "cool", "1.0.0", Status::Retired),
            (2, "heat", "1.0.0", Status::Active),
            (3, "heat", "2.0.0", Status::Active),
        ];
        assert_eq!(seen, expected);
        assert!(all.iter().all(|v| v.text.contains("do: [{a: {set: {x:") && v.format == Format::Yaml));
        let secret = store.secrets().await.expect("values").get("plant").cloned();
        assert_eq!(secret, Some(Value::from(serde_json::json!({"username": "u", "password": "p4ss"}))));
        let letters = store.dead_letters(None, 10).await.expect("a list");
        let payload = letters[0].letter.payload.as_deref();
        assert_eq!((letters.len(), letters[0].letter.stage, payload), (1, Stage::Decode, Some(&b"{\"a\":"[..])));
        let name = store.node_name().await.expect("a name");
        assert!(if form == 1 { name.starts_with("node-") } else { name == "node-f51474a7" }, "{name}");

        let line = all[1].workflow.clone();
        let next = NewVersion { namespace: "plant", ..version("heat", "3.0.0") };
        assert_eq!(store.update(&line, &next, NOW).await.expect("updated"), DefinitionId(4), "no number comes twice");
        store.close().await;
        assert_eq!(open(&folder).await.expect("again").versions().await.expect("a list").len(), 4);
    }
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder).await.expect("a store");
    sqlx::raw_sql("PRAGMA user_version = 99").execute(&store.pool).await.expect("set");
    store.close().await;
    let error = open(&folder).await.expect_err("newer").to_string();
    assert!(error.contains("has form 99"), "{error}");
}
