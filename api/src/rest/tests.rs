//! What needs no node: that the description of the API and the API agree.

use std::collections::BTreeSet;

use super::*;

#[test]
fn every_route_is_described_and_every_description_is_a_route() {
    let document: serde_json::Value = serde_json::from_str(OPENAPI).expect("JSON");
    let mut described = BTreeSet::new();
    for (path, calls) in document["paths"].as_object().expect("paths") {
        for method in calls.as_object().expect("calls").keys() {
            described.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    let routes: BTreeSet<String> = routes().list.iter().map(|(method, path)| format!("{method} {path}")).collect();
    assert_eq!(routes, described);
}

#[test]
fn references_in_the_description_lead_somewhere() {
    fn check(value: &serde_json::Value, root: &serde_json::Value) {
        match value {
            serde_json::Value::Object(map) => {
                if let Some(reference) = map.get("$ref").and_then(|reference| reference.as_str()) {
                    assert!(root.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
                }
                map.values().for_each(|value| check(value, root));
            }
            serde_json::Value::Array(list) => list.iter().for_each(|value| check(value, root)),
            _ => {}
        }
    }
    let document: serde_json::Value = serde_json::from_str(OPENAPI).expect("JSON");
    check(&document, &document);
}
